"""`frame_norm` with multi-tau: the numbers of events are averaged and correlated as the elements are."""

import numpy as np

from parcorana.correlation.levels import Levels
from parcorana.g2.series import SeriesG2


class MultiTauSeries(SeriesG2):
    """G2 of several numbers of each event, over the frames of multi-tau.

    Parameters
    ----------
    delays : (D,) int64 [pulses]
    channels : int
    times : int
        Events in the rolling buffer, which puts them in order.
    series : int
        S, numbers of each event.
    marked : bool
        Whether there are sums of stretches of the run, too.
    """

    order = "C"

    def __init__(self, delays, channels, times, series, marked=False):
        super().__init__(delays, times, series, forgets=False, marked=marked)
        self._levels = Levels(delays, channels, series, np.float64)

    def _end_run(self):
        if len(waiting := self._buffer.waiting()):
            self._levels.add(waiting)
        self._levels.end_run()
        super()._end_run()

    def _enter(self, counters, numbers):
        buffer, numbers = self._buffer, np.ascontiguousarray(numbers)
        entry = buffer.offer(counters, len(counters))
        if len(settled := buffer.settled(entry, numbers, {}, 0)):
            self._levels.add(settled)
        buffer.store(entry, numbers)

    def _settled(self, waiting=True):
        *sums, counts = self._levels.ahead(self._buffer.waiting() if waiting else (), slice(None))
        return np.array(sums), counts

    def sums(self, waiting=True):
        """Return G2, IP and IF, (3, S, D) float64, and the counts of pairs, (D,) int64."""
        self._let_in(len(self._waiting[0]))
        return self._settled(waiting)

    def state(self):
        """Return what a checkpoint keeps."""
        return super().state() | {f"levels {name}": kept.value for name, kept in self._levels.arrays().items()}

    def restore(self, state):
        """Take up what `state` has returned."""
        super().restore(state)
        for name, kept in self._levels.arrays().items():
            kept.value[...] = state[f"levels {name}"]
