"""Pixel groups: parts of each colour that are compact, and of equally many elements, for errors that can be believed.

Neighbouring elements see the same speckle, and elements far apart do not. So the scatter
between compact groups, each larger than a speckle, tells how uncertain the whole is.
"""

import numpy as np
from numpy.typing import NDArray

#: Groups of a colour, at the most, and fewest that tell anything.
MOST, FEWEST = 32, 8
_WANTED, _LEAST = 16, 4  # elements of a group
_NUMBERS = 1 << 19  # groups times delays, of all colours: sums of each are added over the workers at every update


def pixel_groups(
    mask: NDArray[np.bool_], color: NDArray[np.int64], colors: NDArray[np.int64], delays: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Part the elements of each colour into groups.

    Elements follow each other along a Z-order curve of each panel, the last
    two axes of the detector (Morton 1966): what is near on it is near on the
    panel. Each group is a piece of that.

    Parameters
    ----------
    mask : bool array
        Of the detector's shape.
    color : (N,) int64
        Of the included elements.
    colors : (C,) int64, increasing
        Those that get a curve.
    delays : int
        How many there are.

    Returns
    -------
    group : (N,) int64
        Number of the group within its colour; 0 where there is no colour, or its elements are too few.
    groups : (C,) int64
        How many there are; 1 where the elements are too few for `FEWEST`, or the colours too many.
    """
    most = min(MOST, _NUMBERS // max(1, len(colors) * delays))
    index = np.where(np.isin(color, colors), np.searchsorted(colors, color), len(colors))
    sizes = np.bincount(index, minlength=len(colors) + 1)
    groups = np.minimum(np.maximum(sizes // _WANTED, FEWEST), most)
    groups = np.where((groups >= FEWEST) & (sizes >= FEWEST * _LEAST), groups, 1)
    groups[-1] = 1
    order = np.lexsort((_along(mask), index))
    place = np.empty(len(color), np.int64)
    starts = np.cumsum(sizes) - sizes
    place[order] = np.arange(len(color)) - starts[index[order]]
    return place * groups[index] // np.maximum(sizes[index], 1), groups[:-1].astype(np.int64)


def _along(mask):
    """Return where the included elements are along the curve, (N,) int64: panel after panel."""
    *panels, rows, columns = (1, 1, *mask.shape)[-max(mask.ndim, 2) :]
    bits = max(rows, columns).bit_length()
    steps = np.zeros(max(rows, columns), np.int64)
    number = np.arange(len(steps))
    for bit in range(bits):
        steps |= (number >> bit & 1) << 2 * bit
    where = np.unravel_index(np.flatnonzero(mask), (int(np.prod(panels, dtype=np.int64)), rows, columns))
    return (where[0] << 2 * bits) | steps[where[1]] << 1 | steps[where[2]]
