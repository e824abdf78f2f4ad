"""Multi-tau sums of a worker's elements: what is kept of earlier events, and what is summed."""

import numpy as np

from parcorana import _core
from parcorana.calculation.arrays import Common, PerElement
from parcorana.correlation.delays import check_delays, multitau_levels

_PIECE = 4096  # elements of which all sums are made at once


class Levels:
    """The state of one worker; its arrays are changed in place.

    Parameters
    ----------
    delays : sequence of int [pulses]
        Each a multiple of 2^L at its level L (`delays.multitau_levels`).
    channels : int
        Delays of level 0.
    elements : int
        n.
    dtype : numpy dtype
        float32 or float64, of the events.
    threads : int

    Attributes
    ----------
    G2 : (n, D) float64
    IP, IF : (n, D) float64
        What is to be added to `total` of the delay's level, less what the newest frames have still to find a partner
        for: `ahead` gives the sums themselves.
    total : (n, levels) float64
        The sum of all frames of a level.
    counts : (D,) int64
        Pairs.
    history : (levels, channels, n) of dtype
        The newest frames of each level, the newest one last; 0 where there is none. Elements are far apart in memory.
    present : (levels, channels) int8
        Where there is one.
    frontier : (1,) int64 [pulses]
        The one after the newest event, if `begun`.
    begun : (1,) int8
    """

    def __init__(self, delays, channels, elements, dtype, threads=1):
        self.delays, self.level = check_delays(delays), multitau_levels(delays, channels)
        self.channels, self.threads = int(channels), threads
        self.lag = self.delays >> self.level
        levels = int(self.level.max()) + 1
        self._first = np.searchsorted(self.level, np.arange(levels + 1))
        self._own = {
            "history": np.zeros((elements, levels, self.channels), dtype),
            "total": np.zeros((elements, levels)),
            **{name: np.zeros((elements, len(self.delays))) for name in ("G2", "IP", "IF")},
        }
        self._common = {
            "present": np.zeros((levels, self.channels), np.int8),
            "frontier": np.zeros(1, np.int64),
            "begun": np.zeros(1, np.int8),
            "counts": np.zeros(len(self.delays), np.int64),
        }
        self.history = self._own["history"].transpose(1, 2, 0)
        self.total, self.G2, self.IP, self.IF = (self._own[name] for name in ("total", "G2", "IP", "IF"))
        self.present, self.frontier, self.begun, self.counts = self._common.values()

    def add(self, events):
        """Add events.

        Parameters
        ----------
        events : parcorana.correlation.settled.Settled
            Later than all before, in the order of time; of the dtype of this.
        """
        self._add(events, events.rows, self._own, self._common)

    def ahead(self, events, part):
        """Return what the sums of some elements would be after these events, too; nothing is changed.

        Parameters
        ----------
        events : parcorana.correlation.settled.Settled
        part : slice
            Of the elements; a few thousand of them take little memory.

        Returns
        -------
        G2, IP, IF : (k, D) float64
            IP and IF are a total of which what has no partner was taken away: with float64 their rounding errors are
            relative to the sum of all frames of the level, where most of these have no partner.
        counts : (D,) int64
        """
        own = {name: np.array(array[part], order="C") for name, array in self._own.items()}
        common = {name: array.copy() for name, array in self._common.items()}
        if len(events):
            rows = events.rows + np.uintp(part.indices(len(self.G2))[0] * self._own["history"].itemsize)
            self._add(events, rows, own, common)
        total = own["total"][:, self.level]
        past, future = own["IP"] + total - self._tails(own["history"]), own["IF"] + total
        none = common["counts"] == 0
        past[:, none] = future[:, none] = 0  # no rounding error of what was added and taken away again
        return own["G2"], past, future, common["counts"]

    def end_run(self):
        """Forget the frames: pairs never span two runs. The sums stay."""
        for begin in range(0, len(self.IP), _PIECE):
            part = slice(begin, begin + _PIECE)
            self.IP[part] -= self._tails(self._own["history"][part])
        for array in (self.history, self.present, self.frontier, self.begun):
            array[:] = 0

    def arrays(self):
        """Return what a checkpoint keeps: dict of name to `PerElement` or `Common`."""
        own = {name: PerElement(np.moveaxis(array, 0, -1)) for name, array in self._own.items()}
        return own | {name: Common(array) for name, array in self._common.items()}

    def scratch_bytes(self):
        """Return the bytes that `add` takes for a while, of all threads; `ahead` copies its part of the arrays, too."""
        itemsize = self.history.itemsize
        each, plan = _core.multitau_scratch(self.lag, self._first, *self._common.values(), itemsize)
        return each * self.threads + plan

    def _add(self, events, rows, own, common):
        if events.dtype != self.history.dtype or events.elements != len(self.G2):
            wanted = f"of {len(self.G2)} of {self.history.dtype} wanted"
            raise ValueError(f"events of {events.elements} elements of {events.dtype}, {wanted}")
        arrays = (own["history"], own["total"], own["G2"], own["IP"], own["IF"])
        _core.multitau(self.lag, self._first, *common.values(), *arrays, events.counters, rows, self.threads)

    def _tails(self, history):
        """Return the sums of the newest frames that have no later partner yet: (k, D)."""
        tails = np.zeros((len(history), len(self.delays)))
        for level in np.unique(self.level):
            mine = np.flatnonzero(self.level == level)
            sums = np.cumsum(history[:, level, ::-1], axis=1, dtype=np.float64)
            has = self.lag[mine] > 0
            tails[:, mine[has]] = sums[:, self.lag[mine[has]] - 1]
        return tails
