"""The rolling buffer of a worker: which events are stored, in which row, and which pairs they make."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from parcorana import _core
from parcorana.correlation.lines import plan_store
from parcorana.correlation.plan import Union
from parcorana.correlation.settled import Settled
from parcorana.errors import ConfigError

UNFILLED = np.iinfo(np.int64).min
_AT_ONCE = 1 << 20  # bytes that are copied on their way
FAR = 1 << 61  # pulses or ns: longer than any run, and small enough that differences fit into int64


def rate_fraction(rate):
    """Return a rate [Hz] as (numerator, denominator): the decimal number that the user wrote."""
    fraction = Fraction(repr(float(rate))).limit_denominator(10**9)
    if not 0 < fraction < 2**31:
        raise ConfigError(f"rate must be above 0 and below {2**31} Hz, not {rate!r}")
    if fraction.numerator >= 2**32:
        fraction = fraction.limit_denominator(int(2**31 / fraction))
    return fraction.numerator, fraction.denominator


def pulse_counters(stamps, first, rate):
    """Return the counter T of events from their times: docs/definitions.md.

    Parameters
    ----------
    stamps : (m,) int64 [ns]
    first : int [ns]
        Time of the first event that reached the workers.
    rate : float [Hz]

    Returns
    -------
    (m,) int64
        ``round((stamps - first) * rate)``, halves up, without floating point.
    """
    counters = np.empty(len(stamps), np.int64)
    _core.counters(stamps, first, *rate_fraction(rate), counters)
    return counters


def first_stamp(stamps):
    """Return the first of some stamps that is not far from most of them: from it on counters are counted."""
    return int(stamps[np.argmin(far_from(stamps, middle_of(stamps)))])


def middle_of(stamps):
    """Return a stamp that as many are above as below."""
    return int(np.partition(stamps, len(stamps) // 2)[len(stamps) // 2])


def far_from(stamps, reference, bound=FAR):
    """Tell which stamps are farther from one than any run is long, so that they are none.

    Parameters
    ----------
    stamps : (m,) int64 [ns or pulses]
    reference : int
    bound : float

    Returns
    -------
    (m,) bool
    """
    # float64: a difference need not fit into int64
    return np.abs(stamps.astype(float) - float(reference)) > bound


@dataclass(frozen=True)
class Entry:
    """What becomes of a stretch of events that enters the buffer.

    Attributes
    ----------
    consumed : int
        How many of the events offered were looked at.
    fate : (consumed,) int8
        `_core.PROCESSED`, `_core.DUPLICATE` or `_core.LATE`.
    processed : (k,) int64
        Positions, among those offered, of the events that entered.
    row : (k,) int64
        Row of each in the buffer; -1 where it has left again.
    leaving : (l,) int64
        Rows of stored events that leave, oldest first.
    union : parcorana.correlation.plan.Union
        The stored events and those that enter, by time.
    """

    consumed: int
    fate: np.ndarray
    processed: np.ndarray
    row: np.ndarray
    leaving: np.ndarray
    union: Union


class RollingBuffer:
    """The last `times` events of a worker's elements.

    Events enter one at a time in the order of the sequence
    (docs/definitions.md): a counter already stored is a duplicate; if the buffer is full,
    a counter below all stored ones is late; otherwise, if full, the smallest
    counter leaves and the event enters. `offer` decides that for a stretch of
    events at once, `store` then carries it out.

    Parameters
    ----------
    times : int
        Number of rows.
    elements : int
        Number of columns.
    block : int
        The most events that are offered at once.
    dtype : numpy dtype
        float32 or float64.
    order : {'C', 'F'}
        'C': the elements of one event are contiguous; 'F': the times of one
        element are.
    threads : int
    names : sequence of str
        Of the values of an event.

    Attributes
    ----------
    T : (times,) int64 [pulses]
        Counter of each row, the smallest int64 where unfilled.
    X : (times, elements) float32 or float64
    V : (len(names), times) float64
        Values of each row, NaN where unfilled.
    values : dict of str to (times,) float64
        The same, by name.
    numbers : (times,) int64
        The place of each row's event among those processed, -1 where unfilled.
    filled : int
        The first `filled` rows are valid.
    """

    def __init__(self, times, elements, block, dtype=np.float32, order="F", threads=1, names=()):
        self.times, self.elements, self.threads = times, elements, threads
        self.order = order
        self.T = np.full(times, UNFILLED, np.int64)
        self.X = np.zeros((times, elements), dtype, order=order)
        self.V = np.full((len(names), times), np.nan)
        self.values = dict(zip(names, self.V, strict=True))
        self.numbers = np.full(times, -1, np.int64)
        self.filled, self.placed = 0, None
        capacity = times + block + 1
        self._counter = np.zeros(capacity, np.int64)
        self._row = np.zeros(capacity, np.int32)
        self._seq = np.full(capacity, -1, np.int32)
        self._leave = np.full(capacity, _core.STAYS, np.int32)
        self._tail = 0
        self._head = 0

    def clear(self):
        """Empty the buffer: pairs never span two runs."""
        self.T[:] = UNFILLED
        self.X[:], self.V[:], self.numbers[:] = 0, np.nan, -1
        self.filled = self._tail = self._head = 0

    def restore(self, filled):
        """Take the arrays as a checkpoint has filled them in, of which the first `filled` rows are valid."""
        order = np.argsort(self.T[:filled], kind="stable")
        self._counter[:filled], self._row[:filled] = self.T[order], order
        self.filled = self._tail = filled
        self._head = 0

    def offer(self, counters, limit):
        """Decide which of `counters` enter, in order, until `limit` of them have.

        Parameters
        ----------
        counters : (m,) int64 [pulses]
        limit : int

        Returns
        -------
        Entry
        """
        self._settle()
        fate = np.empty(len(counters), np.int8)
        entered = np.empty(min(len(counters), limit), np.int64)
        self._head, self._tail, consumed = _core.admit(
            self._counter, self._row, self._seq, self._leave, 0, self._tail, self.times, counters, limit, fate, entered
        )
        fate = fate[:consumed]
        processed = entered[: np.count_nonzero(fate == _core.PROCESSED)]
        seq, rows = self._seq[: self._tail], self._row[: self._tail]
        leaving = rows[: self._head][seq[: self._head] < 0].astype(np.int64)
        new = np.flatnonzero(seq >= 0)
        stays = new[new >= self._head]
        # unfilled rows first, then those of the oldest: in-order events go round in a ring
        free = np.concatenate([np.arange(self.filled, self.times), leaving])
        rows[new] = -1
        rows[stays] = free[: len(stays)]
        row = np.empty(len(processed), np.int64)
        row[seq[new]] = rows[new]
        union = Union(self._counter[: self._tail], rows, seq, self._leave[: self._tail], self._head)
        return Entry(consumed, fate, processed, row, leaving, union)

    def _settle(self):
        """Forget what left in the last stretch, and that what entered was new."""
        if self._head:
            for array in (self._counter, self._row):
                array[: self._tail - self._head] = array[self._head : self._tail].copy()
            self._tail -= self._head
            self._head = 0
        self._seq[: self._tail] = -1
        self._leave[: self._tail + 1] = _core.STAYS

    def settled(self, entry, data, values, first):
        """Return the events that leave by `entry`, before it is stored: nothing that comes later precedes them.

        Parameters
        ----------
        entry : Entry
        data : (m, elements) array of the buffer's dtype
            The events that were offered.
        values : dict of str to (k,) float64
            Of those that entered.
        first : int
            Events processed before.

        Returns
        -------
        parcorana.correlation.settled.Settled
        """
        head = entry.union.head
        seq, row = entry.union.seq[:head].astype(np.int64), entry.union.row[:head].astype(np.int64)
        new = seq >= 0
        columns = {name: np.where(new, column[seq], self.values[name][row]) for name, column in values.items()}
        return Settled(
            entry.union.counter[:head].copy(),
            np.where(new, first + seq, self.numbers[row]),
            columns,
            (self.X, data),
            new.astype(np.int8),
            np.where(new, entry.processed[seq], row),
        )

    def waiting(self):
        """Return the stored events, in the order of time: others may still come between them.

        Returns
        -------
        parcorana.correlation.settled.Settled
        """
        row = np.argsort(self.T[: self.filled], kind="stable")
        columns = {name: column[row] for name, column in self.values.items()}
        return Settled(self.T[row], self.numbers[row], columns, (self.X,), np.zeros(len(row), np.int8), row)

    def store(self, entry, data, values=None, first=0):
        """Put the events of `entry` in their rows.

        Parameters
        ----------
        entry : Entry
        data : (m, elements) array of the buffer's dtype, C order
            The events that were offered.
        values : dict of str to (k,) float64, optional
            Of those that entered.
        first : int
            Events processed before.
        """
        stays = entry.row >= 0
        rows, source = entry.row[stays], entry.processed[stays]
        if self.order == "C":
            some = max(1, _AT_ONCE // max(data.itemsize * self.elements, 1))
            for at in range(0, len(rows), some):
                self.X[rows[at : at + some]] = data[source[at : at + some]]
        else:
            _core.store(plan_store(source, rows), self.X, data, self.threads)
        self.place(entry, values, first)

    def place(self, entry, values=None, first=0):
        """Set times, values and numbers of the rows of `entry`; the caller has filled X."""
        union = entry.union
        stays = (union.seq >= 0) & (union.row >= 0)
        self.T[union.row[stays]] = union.counter[stays]
        there = entry.row >= 0
        for name, column in (values or {}).items():
            self.values[name][entry.row[there]] = column[there]
        self.numbers[entry.row[there]] = first + np.flatnonzero(there)
        self.filled = self._tail - self._head
        self.placed = entry
