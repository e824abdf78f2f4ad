"""The mean intensity of each colour over time, in bounded memory.

A run is kept as stretches of equally many processed events. When there are too
many of them two neighbours become one, so that a long run has coarser
stretches, and never more than so many.
"""

import numpy as np

from parcorana import kernels

POINTS = 512
_NUMBERS = 1 << 16  # with many colours there are fewer stretches: the sums go to the viewer at every update
_LEAST = 64


class Timeline:
    """Sums of the intensity of each colour, for stretches of events.

    Parameters
    ----------
    color : (n,) int64
        Of a worker's elements; one that is not in `colors` is in no sum.
    colors : (C,) int64, increasing
    points : int
        The most stretches; even, since two become one.

    Attributes
    ----------
    sums : (points, C) float64
    """

    def __init__(self, color, colors, points=POINTS):
        self._index = kernels.color_index(color, colors)
        self._colors = len(colors)
        self.points = min(points, max(_NUMBERS // max(len(colors), 1), _LEAST) // 2 * 2)
        self._at = np.array([1, 0])  # width, and events so far
        self.sums = np.zeros((self.points, len(colors)))
        self._first = np.zeros(self.points, np.int64)
        self._last = np.zeros(self.points, np.int64)

    @property
    def width(self):
        """Processed events in each stretch but the last."""
        return int(self._at[0])

    @property
    def events(self):
        """Events processed so far."""
        return int(self._at[1])

    def add(self, counters, data, threads=1):
        """Add events in the order in which they are processed.

        Parameters
        ----------
        counters : (m,) int64 [pulses]
        data : (m, n) float32 or float64, the elements of each event side by side
        threads : int

        Returns
        -------
        (m, C) float64
            Sums over the elements of each colour.
        """
        sums = kernels.sum_indexed(data, self._index, self._colors, threads)
        at = 0
        while at < len(counters):
            if self.events == self.points * self.width:
                self._halve()
            end = min(len(counters), at + self.points * self.width - self.events)
            self._put(counters[at:end], sums[at:end])
            at = end
        return sums

    def _put(self, counters, sums):
        point = (self.events + np.arange(len(counters))) // self.width
        starts = np.flatnonzero(np.diff(point, prepend=-1))
        which = point[starts]
        low, high = np.minimum.reduceat(counters, starts), np.maximum.reduceat(counters, starts)
        if self.events % self.width:  # the first one is there already
            low[0] = min(low[0], self._first[which[0]])
            high[0] = max(high[0], self._last[which[0]])
        self._first[which], self._last[which] = low, high
        self.sums[which] += np.add.reduceat(sums, starts, axis=0)
        self._at[1] += len(counters)

    def _halve(self):
        half = self.points // 2
        self.sums[:half] = self.sums[0::2] + self.sums[1::2]
        self._first[:half] = np.minimum(self._first[0::2], self._first[1::2])
        self._last[:half] = np.maximum(self._last[0::2], self._last[1::2])
        self.sums[half:] = 0
        self._at[0] *= 2

    @property
    def nbytes(self):
        """Bytes of what `arrays` returns, once all stretches are in use."""
        return self.sums.nbytes + self._first.nbytes + self._last.nbytes + 8 * self.points

    def arrays(self):
        """Return what there is so far.

        Returns
        -------
        dict
            'sums' (P, C) float64: over the events of each stretch and the
            elements of each colour; 'first', 'last' (P,) int64 [pulses]: of
            its counters; 'events' (P,) int64.
        """
        used = -(-self.events // self.width)
        events = np.full(used, self.width, np.int64)
        if used:
            events[-1] = self.events - (used - 1) * self.width
        return {"sums": self.sums[:used], "first": self._first[:used], "last": self._last[:used], "events": events}

    def common(self):
        """Return the arrays, beside `sums`, that tell the stretches: the same on all workers, changed in place."""
        return {"at": self._at, "first": self._first, "last": self._last}
