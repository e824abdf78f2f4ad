"""The mean of the included elements of each frame."""

import numpy as np

from parcorana import _move


class Means:
    """Takes the mean of the included elements.

    Parameters
    ----------
    index : (n,) int64
        The included elements of the flat frame, increasing.
    """

    def __init__(self, index):
        self._index, self._stretches = index, _move.stretches(index)

    def of(self, frames):
        """Return the mean of each frame, the same however the job is divided.

        Parameters
        ----------
        frames : (m, size) array, or list of (1, k) arrays
            As `BlockBuffer.put` takes them.

        Returns
        -------
        (m,) float64
            Of integers the sum is exact, and the mean is rounded once or twice; NaN and infinity are in it where they
            are in an included element.
        """
        pieces = [plain(piece) for piece in (frames if isinstance(frames, list) else [frames])]
        return _move.sums(pieces, self._stretches) / len(self._index)

    def finite(self, frames, k):
        """Tell whether the included elements of frame `k` are all finite."""
        pieces = frames if isinstance(frames, list) else [frames]
        return bool(np.isfinite(np.concatenate([piece[k] for piece in pieces])[self._index]).all())


def plain(piece):
    """Return a piece as it can be added up: the elements side by side, of a type that compiled code knows."""
    if piece.dtype not in _move.NUMBER or piece.dtype == np.float16:
        with np.errstate(over="ignore", invalid="ignore"):
            return piece.astype(np.float64)
    if piece.strides[1] != piece.itemsize or not piece.flags.aligned:
        return np.array(piece, order="C")
    return piece
