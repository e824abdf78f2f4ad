"""Sums over workers, in types in which small numbers never wrap."""

import numpy as np

_WIDE = {"i": np.int64, "u": np.uint64, "f": np.float64, "c": np.complex128}
_PIECE = 1 << 16  # numbers
NUMBERS = "".join(_WIDE)  # kinds that have a sum: not bool, whose sum would be another kind


def wide(dtype):
    """Return the type in which a type of `NUMBERS` is summed.

    Returns
    -------
    numpy.dtype
        int64, uint64, float64 or complex128, in the byte order of the machine;
        what is wider already (longdouble) as it is.
    """
    return np.result_type(dtype, _WIDE[dtype.kind])


def widened(array):
    """Return an array in the type in which it is summed: the same one where nothing changes."""
    return array.astype(wide(array.dtype), copy=False)


def add(total, part):
    """Add to an array in place.

    Parameters
    ----------
    total, part : ndarray of the same shape
        `total` as `widened` returns it, in C order.

    Raises
    ------
    OverflowError
        Whole numbers whose sum is beyond 64 bit.
    """
    if total.dtype.kind not in "iu":
        total += part
        return
    # a piece at a time: what tells whether a sum has wrapped takes several times its memory
    flat, added = total.reshape(-1), part.reshape(-1)
    for first in range(0, total.size, _PIECE):
        one, other = flat[first : first + _PIECE], widened(added[first : first + _PIECE])
        result = one + other
        beyond = result < other if total.dtype.kind == "u" else ((one ^ result) & (other ^ result)) < 0
        if np.any(beyond):
            raise OverflowError(f"beyond {total.dtype}")
        one[...] = result


def narrowed(total, dtype):
    """Return a sum in the type that its parts had.

    Raises
    ------
    OverflowError
        It does not fit into that.
    """
    with np.errstate(over="ignore"):
        result = total.astype(dtype)
    # float types round; of whole numbers nothing may be lost
    lost = result != total if dtype.kind in "iu" else np.isfinite(total) & ~np.isfinite(result)
    if np.any(lost):
        raise OverflowError(f"beyond {dtype}")
    return result
