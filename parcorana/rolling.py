"""The rolling buffer of a worker: which events are stored, in which row, and which pairs they make."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from parcorana import _core
from parcorana.errors import ConfigError

UNFILLED = np.iinfo(np.int64).min


def rate_fraction(rate):
    """Return a rate [Hz] as (numerator, denominator): the decimal number that the user wrote."""
    fraction = Fraction(repr(float(rate))).limit_denominator(10**9)
    if not 0 < fraction < 2**31:
        raise ConfigError(f"rate must be above 0 and below {2**31} Hz, not {rate!r}")
    if fraction.numerator >= 2**32:
        fraction = fraction.limit_denominator(int(2**31 / fraction))
    return fraction.numerator, fraction.denominator


def pulse_counters(stamps, first, rate):
    """Return the counter T of events from their times (contract, section 1).

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


@dataclass(frozen=True)
class RowRuns:
    """The pairs of rows of each delay, as runs.

    The run ``(i, j, length)`` of delay d stands for the pairs of rows
    ``(i + k, j + k)``, k < length, whose times differ by d. Rows from
    `times` on are rows of the pending block.

    Attributes
    ----------
    run : (R,) structured array with int32 fields i, j, length
    start : (D + 1,) int64
        Delay number n has the runs ``run[start[n]:start[n + 1]]``.
    counts : (D,) int64
        Number of pairs of each delay.
    """

    run: np.ndarray
    start: np.ndarray
    counts: np.ndarray


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
    pending : (k,) int64
        Row of each in the pending block, which is sorted by time.
    row : (k,) int64
        Row of each in the buffer; -1 where it has left again.
    leaving : (l,) int64
        Rows of stored events that leave, oldest first.
    """

    consumed: int
    fate: np.ndarray
    processed: np.ndarray
    pending: np.ndarray
    row: np.ndarray
    leaving: np.ndarray


class RollingBuffer:
    """The last `times` events of a worker's elements.

    Events enter one at a time in the order of the sequence (contract,
    section 1): a counter already stored is a duplicate; if the buffer is full,
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

    Attributes
    ----------
    T : (times,) int64 [pulses]
        Counter of each row, the smallest int64 where unfilled.
    X : (times, elements) float32 or float64
    filled : int
        The first `filled` rows are valid.
    """

    def __init__(self, times, elements, block, dtype=np.float32, order="F", threads=1):
        self.times, self.elements, self.threads = times, elements, threads
        self.order = order
        self.T = np.full(times, UNFILLED, np.int64)
        self.X = np.zeros((times, elements), dtype, order=order)
        self.filled = 0
        capacity = times + block + 1
        self._counter = np.zeros(capacity, np.int64)
        self._row = np.zeros(capacity, np.int32)
        self._seq = np.full(capacity, -1, np.int32)
        self._leave = np.full(capacity, _core.STAYS, np.int32)
        self._tail = 0
        self._first = self._head = 0

    def clear(self):
        """Empty the buffer: pairs never span two runs."""
        self.T[:] = UNFILLED
        self.X[:] = 0
        self.filled = self._tail = self._head = self._first = 0

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
        new = np.flatnonzero(seq >= 0)
        # Pending rows are in order of time, so that runs of pairs are long.
        pending = np.empty(len(processed), np.int64)
        pending[seq[new]] = np.arange(len(new))
        rows[new] = self.times + np.arange(len(new))
        leaving = rows[: self._head][seq[: self._head] < 0].astype(np.int64)
        stays = new[new >= self._head]
        free = np.concatenate([np.arange(self.filled, self.times), leaving])
        row = np.full(len(processed), -1, np.int64)
        row[seq[stays]] = free[: len(stays)]
        return Entry(consumed, fate, processed, pending, row, leaving)

    def _settle(self):
        """Forget what left in the last stretch, and that what entered was new."""
        if self._head:
            for array in (self._counter, self._row):
                array[: self._tail - self._head] = array[self._head : self._tail].copy()
            self._tail -= self._head
            self._head = 0
        self._seq[: self._tail] = -1
        self._leave[: self._tail + 1] = _core.STAYS

    def _runs(self, delays, seq, leave, first):
        run, start, counts = _core.find_runs(
            self._counter, self._row, seq, leave, first, self._tail, self.times, np.ascontiguousarray(delays, np.int64)
        )
        return RowRuns(run, start, counts)

    def runs_accumulated(self, delays):
        """Return the pairs that the offered events made when each entered; before `store`."""
        return self._runs(delays, self._seq, self._leave, 0)

    def runs_entering(self, delays):
        """Return the pairs that the stored events gained by the stretch; before `store`."""
        stays = np.full_like(self._leave, _core.STAYS)
        return self._runs(delays, self._seq, stays, self._head)

    def runs_leaving(self, delays):
        """Return the pairs that the stored events lost by the stretch; before `store`."""
        old = np.flatnonzero(self._seq[: self._tail] < 0)
        gone = np.full(len(old) + 1, -1, np.int32)
        gone[: np.count_nonzero(old < self._head)] = 0
        run, start, counts = _core.find_runs(
            np.append(self._counter[old], 0),
            np.append(self._row[old], 0).astype(np.int32),
            gone,
            np.full(len(old) + 1, _core.STAYS, np.int32),
            0,
            len(old),
            self.times,
            np.ascontiguousarray(delays, np.int64),
        )
        return RowRuns(run, start, counts)

    def runs_stored(self, delays):
        """Return all pairs that are stored now; after `store`."""
        return stored_runs(self.T, self.filled, delays)

    def store(self, entry, data, pending=None):
        """Put the events of `entry` in their rows.

        Parameters
        ----------
        entry : Entry
        data : (m, elements) array of the buffer's dtype, C order
            The events that were offered.
        pending : (p, elements) array, Fortran order, or None
            The same events by time, where `fill_pending` made them.
        """
        stays = entry.row >= 0
        rows, source = entry.row[stays], entry.processed[stays]
        if self.order == "C":
            self.X[rows] = data[source]
        elif pending is None:
            _core.fill(data, source, rows, self.X, self.threads)
        else:
            _core.copy_runs(pending, self.X, _as_runs(entry.pending[stays], rows), self.threads)
        self.place(entry)

    def place(self, entry):
        """Set the times of the rows of `entry`; the caller has filled X."""
        stays = entry.row >= 0
        new = np.flatnonzero(self._seq[: self._tail] >= 0)
        self.T[entry.row[stays]] = self._counter[new[entry.pending[stays]]]
        self._row[new] = entry.row[self._seq[new]]
        self.filled = self._tail - self._head

    def fill_pending(self, entry, data, pending):
        """Transpose the events of `entry`, sorted by time, into `pending`."""
        _core.fill(data, entry.processed, entry.pending, pending, self.threads)


def stored_runs(T, filled, delays):
    """Return all pairs among the first `filled` rows of a buffer.

    Parameters
    ----------
    T : (times,) int64 [pulses]
    filled : int
    delays : (D,) int64 [pulses]

    Returns
    -------
    RowRuns
    """
    order = np.argsort(T[:filled], kind="stable")
    # one more than there are events: an empty buffer is legal, an empty array is not
    run, start, counts = _core.find_runs(
        np.append(T[order], 0),
        np.append(order, 0).astype(np.int32),
        np.zeros(filled + 1, np.int32),
        np.full(filled + 1, _core.STAYS, np.int32),
        0,
        filled,
        len(T),
        np.ascontiguousarray(delays, np.int64),
    )
    return RowRuns(run, start, counts)


def _as_runs(source, target):
    """Group pairs of rows into runs in which both go up by one."""
    order = np.argsort(source, kind="stable")
    source, target = source[order], target[order]
    breaks = np.flatnonzero((np.diff(source) != 1) | (np.diff(target) != 1)) + 1
    first = np.concatenate([np.zeros(min(len(source), 1), np.int64), breaks])
    run = np.empty(len(first), _core.RUN_DTYPE)
    run["i"], run["j"] = source[first], target[first]
    run["length"] = np.diff(np.append(first, len(source)))
    return run
