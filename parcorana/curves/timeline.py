"""The mean intensity of each colour over time, in bounded memory."""

import numpy as np

from parcorana import kernels
from parcorana.curves.stretches import POINTS, Stretches

_NUMBERS = 1 << 16  # with many colours there are fewer stretches: the sums go to the viewer at every update
_LEAST = 64


class Timeline(Stretches):
    """Sums of the intensity of each colour, for stretches of events.

    Parameters
    ----------
    color : (n,) int64
        Of a worker's elements; one that is not in `colors` is in no sum.
    colors : (C,) int64, increasing
    points : int
        The most stretches; even.

    Attributes
    ----------
    sums : (points, C) float64
        Over the events of each stretch and the elements of each colour.
    """

    def __init__(self, color, colors, points=POINTS):
        self._index = kernels.color_index(color, colors)
        self._colors = len(colors)
        points = min(points, max(_NUMBERS // max(len(colors), 1), _LEAST) // 2 * 2)
        self.sums = np.zeros((points, len(colors)))
        super().__init__({"sums": (np.add, self.sums)}, points)

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
        self.put(counters, sums=sums)
        return sums

    @property
    def nbytes(self):
        """Bytes of what `arrays` returns, once all stretches are in use."""
        return self.sums.nbytes + self._first.nbytes + self._last.nbytes + 8 * self.points
