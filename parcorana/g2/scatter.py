"""What the beam does to all elements alike, over stretches of the run, and the errors that come of it: docs/errors.md.

No group of elements shows it, for it is in all of them. It is in the g2 of their mean
intensity, whose scatter between stretches of the run tells how large it is.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parcorana.curves.jackknife import deviations

_MARKS = 64  # stretches that are kept, the most; even, for two become one
_FIRST = 8  # events of the first ones
#: Sums of a series and delay that are kept with them.
STRETCHES = 3 * _MARKS + 6
_MOST = 16  # of which the scatter is taken


class Marks:
    """Sums of series up to the end of each stretch of equally many events; two become one as the run grows.

    Parameters
    ----------
    series, delays : int
    """

    def __init__(self, series: int, delays: int) -> None:
        self._at = np.array([_FIRST, 0])  # events of each, and how many there are
        self._sums = np.zeros((_MARKS, 3, series, delays))
        self._counts = np.zeros((_MARKS, delays), np.int64)

    def room(self, events: int) -> int:
        """Return how many more events there are to the end of the stretch."""
        return int(self._at[0] - events % self._at[0])

    def note(self, events: int, sums: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        """Take sums (3, S, D) and counts (D,) after so many events, if a stretch ends there."""
        width, used = self._at
        if events != (used + 1) * width:
            return
        self._sums[used], self._counts[used] = sums, counts
        self._at[1] += 1
        if self._at[1] == _MARKS:
            for array in (self._sums, self._counts):
                array[: _MARKS // 2] = array[1::2]
            self._at[:] = 2 * width, _MARKS // 2

    def stretches(self, sums: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return sums (K, 3, S, D) and counts (K, D) of each stretch, from those of all events so far."""
        used = int(self._at[1])
        ends = [*self._sums[:used], sums], [*self._counts[:used], counts]
        with np.errstate(invalid="ignore"):  # intensities that user code has made infinite are said elsewhere
            each, pairs = (np.diff(np.array(end), axis=0, prepend=np.zeros_like(end[:1])) for end in ends)
        return each, pairs

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what a checkpoint keeps."""
        return {"marks at": self._at, "marks sums": self._sums, "marks counts": self._counts}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take up what `state` has returned."""
        for name, array in self.state().items():
            array[...] = state[name]


def stretches_stored(
    T: NDArray[np.int64], X: NDArray[np.float64], delays: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the same of stored events: those of a window, of which nothing has been kept on the way.

    Parameters
    ----------
    T : (m,) int64 [pulses]
    X : (m, S) float64
    delays : (D,) int64 [pulses]
    """
    order = np.argsort(T)
    t, x = T[order], X[order]
    count = max(1, min(_MOST, len(t) // _FIRST))
    stretch = np.arange(len(t)) * count // max(len(t), 1)
    sums, counts = np.zeros((count, 3, x.shape[1], len(delays))), np.zeros((count, len(delays)), np.int64)
    for d, delay in enumerate(delays.tolist()):
        earlier = np.minimum(np.searchsorted(t, t - delay), len(t) - 1)
        later = np.flatnonzero(t[earlier] == t - delay) if len(t) else earlier
        past, future, where = x[earlier[later]], x[later], stretch[later]
        counts[:, d] = np.bincount(where, minlength=count)
        for k, values in enumerate((past * future, past, future)):
            for s in range(x.shape[1]):
                sums[:, k, s, d] = np.bincount(where, values[:, s], count)
    return sums, counts


def common_deviations(sums: NDArray[np.float64], counts: NDArray[np.int64], normed: bool) -> NDArray[np.float64]:
    """Return how each stretch makes all curves deviate, as a part of g2.

    Parameters
    ----------
    sums : (K, 3, S, D) float64
        G2, IP and IF of the mean of all coloured elements, the last series; before it, if `normed`, those of the
        series that curves are divided by.
    counts : (K, D) int64
    normed : bool
        Whether curves are divided by the g2 of the first series: then what is left is the scatter of the quotient.

    Returns
    -------
    (K', D) float64
        For `parcorana.curves.Curve.deviations`, once they are multiplied by g2; 0 where nothing can be told.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if (each := -(-len(counts) // _MOST)) > 1:
            starts = np.arange(0, len(counts), each)
            sums, counts = np.add.reduceat(sums, starts), np.add.reduceat(counts, starts)
        total, pairs = sums.sum(axis=0), counts.sum(axis=0)
        value = _logarithm(total, pairs, normed)
        without = _logarithm(np.moveaxis(total - sums, 1, 0), pairs - counts, normed)
        found = deviations(value, without, counts / pairs)
    return np.nan_to_num(found, posinf=0, neginf=0)


def _logarithm(sums, counts, normed):
    """Return the logarithm of g2 of the last series, less that of the first one if `normed`; sums (3, ..., S, D)."""
    G2, IP, IF = sums
    g2 = np.log(counts[..., None, :] * G2 / (IP * IF))
    return g2[..., -1, :] - g2[..., 0, :] if normed else g2[..., -1, :]
