"""Sums over workers, in types in which small numbers never wrap."""

import numpy as np

_WIDE = {"i": np.int64, "u": np.uint64, "f": np.float64, "c": np.complex128}
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
        `total` as `widened` returns it.

    Raises
    ------
    OverflowError
        Whole numbers whose sum is beyond 64 bit.
    """
    part = widened(part)
    if total.dtype.kind in "iu":
        result = np.asarray(total + part)
        beyond = result < part if total.dtype.kind == "u" else ((total ^ result) & (part ^ result)) < 0
        if np.any(beyond):
            raise OverflowError(f"beyond {total.dtype}")
        total[...] = result
    else:
        total += part


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
