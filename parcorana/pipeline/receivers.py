"""Which elements of a frame, of those that the mask includes, go to whom, and where in their rows."""

import numpy as np

from parcorana import _move


class Receivers:
    """The elements of each receiver, for frames that come whole or in segments.

    Parameters
    ----------
    indexes : sequence of (n,) int64
        For each receiver its elements of the flat frame, increasing.
    """

    def __init__(self, indexes):
        self._indexes = list(indexes)
        self._cuts = {}

    def of(self, sizes):
        """Cut them where the segments of a frame end.

        Parameters
        ----------
        sizes : tuple of int
            Elements of each segment; of the whole frame if it is in one piece.

        Returns
        -------
        list of (stretches, columns)
            For each segment, of each receiver: its elements of the segment, as
            `_move.stretches`, and the column of its rows where they begin.
        """
        if sizes not in self._cuts:
            ends = np.cumsum(sizes)
            self._cuts[sizes] = [self._within(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        return self._cuts[sizes]

    def _within(self, first, last):
        places = [np.searchsorted(index, (first, last)) for index in self._indexes]
        own = [index[a:b] - first for index, (a, b) in zip(self._indexes, places, strict=True)]
        return [_move.stretches(index) for index in own], [int(a) for a, _ in places]
