"""What callbacks return, checked."""

import sys
import zlib
from contextlib import contextmanager

import numpy as np

from parcorana.calculation.arrays import Common, PerElement, wide_bytes
from parcorana.calculation.guard import callback
from parcorana.calculation.sums import NUMBERS
from parcorana.errors import RunError, one_line

_COPIES = 4  # of what `workerReduce` returns: the arrays, the note, the same received, the sum
_LOOKED_AT = 64  # of the rows, and of the elements
_UNSAID = 64 << 20  # bytes beside what is counted that the memory formula allows


def check_names(user):
    """Return the user's array names; raise RunError if they are not distinct strings."""
    names = callback(user, "arrayNames")()
    good = isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names)
    if not good or len(set(names)) != len(names):
        raise RunError(f"{type(user).__name__}.arrayNames must return a list of distinct strings, not {names!r}")
    return list(names)


def check_result(who, result, names, delays, elements):
    """Check what `workerCalc` returned, against what `UserBase.workerCalc` asks for.

    Returns
    -------
    arrays : dict of (D, n) float64
    counts : (D,) int64
    int8array : (n,) int8

    Raises
    ------
    RunError
        Names the class, the array, what came and what is wanted.
    """
    who = f"{who}.workerCalc"
    if not isinstance(result, tuple) or len(result) != 3:
        got = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        raise RunError(f"{who} must return (arrays, counts, int8array), not {got}")
    arrays, counts, int8array = result
    if not isinstance(arrays, dict) or set(arrays) != set(names):
        got = sorted(map(str, arrays)) if isinstance(arrays, dict) else type(arrays).__name__
        raise RunError(f"{who}: the arrays must be a dict with the names {sorted(names)}, not {got}")
    wanted = [(f"array {name!r}", arrays[name], (delays, elements), np.float64) for name in names]
    wanted += [("counts", counts, (delays,), np.int64), ("int8array", int8array, (elements,), np.int8)]
    wrong = []
    for what, array, shape, dtype in wanted:
        is_array = isinstance(array, np.ndarray) and not isinstance(array, np.ma.MaskedArray)
        if not is_array or array.shape != shape or array.dtype != dtype:
            got = f"{array.dtype} {array.shape}" if is_array else type(array).__name__
            wrong.append(f"{what} must be {np.dtype(dtype).name} {shape}, not {got}")
    if wrong:
        raise RunError(f"{who}: {'; '.join(wrong)}")
    return arrays, counts, int8array


@contextmanager
def left_alone(who, buffer, last):
    """See that user code in the body of ``with`` does not change the stored events, which it gets without a copy.

    Parameters
    ----------
    who : str
    buffer : RollingBuffer
    last : bool
        Whether nothing comes after it, so that it may.

    Raises
    ------
    RunError
        It has changed times, or one of the values that are looked at, a few of all.
    """
    if last:
        yield
        return
    filled, elements = buffer.filled, buffer.X.shape[1]
    some = np.s_[: filled : max(1, filled // _LOOKED_AT), :: max(1, elements // _LOOKED_AT)]

    def seen():
        return zlib.crc32(np.ascontiguousarray(buffer.T)), buffer.X[some].tobytes()

    before = seen()
    yield
    for what, one, other in zip("TX", before, seen(), strict=True):
        if one != other:
            raise RunError(
                f"{who}.workerCalc has changed {what}, which is the rolling buffer itself, so all later updates would "
                f"be wrong: work on a copy of it ({what} = {what}[:numTimesFilled].copy())"
            )


def check_reduced(who, reduced):
    """Check what `workerReduce` returned; return it with every value an array.

    Raises
    ------
    RunError
        It is no dict of names to arrays of numbers.
    """
    who = f"{who}.workerReduce"
    if not isinstance(reduced, dict):
        raise RunError(f"{who} must return a dict of name to array, not {type(reduced).__name__}")
    arrays = {}
    for name, value in reduced.items():
        if not isinstance(name, str):
            raise RunError(f"{who}: the names must be strings, not {name!r}")
        if isinstance(value, np.ma.MaskedArray):
            raise RunError(f"{who}: array {name!r} is masked, which a sum leaves out of account: return it filled")
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise RunError(f"{who}: {name!r} is no array: {one_line(error)}") from None
        if array.dtype.kind == "f" and not hasattr(value, "dtype") and _is_whole(np.asarray(value, object)):
            raise RunError(f"{who}: {name!r} has whole numbers that neither int64 nor uint64 can hold together")
        if array.dtype.kind not in NUMBERS:
            raise RunError(f"{who}: array {name!r} must hold numbers, not {array.dtype}")
        arrays[name] = array
    return arrays


def _is_whole(objects):
    return objects.size and all(type(item) is int for item in objects.flat)


def adjust_in_place(adjust, data, who):
    """Call a user's `adjustData`.

    Raises
    ------
    RunError
        It returns another array, as if that were used.
    """
    returned = adjust(data)
    if isinstance(returned, np.ndarray) and not np.may_share_memory(returned, data):
        raise RunError(
            f"{who}.adjustData returns an array, which nothing uses: it must change data in place (data[:] = ...)"
        )


def size_of_small(calculation, found, declared, said):
    """Return a warning if what a worker sends beside `PerElement` arrays is much more than was known, else None.

    Parameters
    ----------
    calculation : BlockBase
    found, declared : dict of str to PerElement, Summed or Common
        Of an update, and as `arrays` has declared them.
    said : int
        Bytes that the class says that an update has beside those declared.
    """
    found, declared = ({n: a for n, a in each.items() if not isinstance(a, PerElement)} for each in (found, declared))
    size, known = (sum(map(wide_bytes, each.values())) for each in (found, declared))
    if _COPIES * (size - known - said) <= _UNSAID:
        return None
    where = calculation.named(max(found, key=lambda name: wide_bytes(found[name])))[0]
    way = "the class method reducedBytes" if where.endswith(".workerReduce") else "collected_bytes"
    return (
        f"{where} returns {size / 2**20:.0f} MiB, of which a worker and the viewer "
        f"hold up to {_COPIES} copies: --check did not count that; say it by {way}"
    )


class InPlace:
    """The arrays that a class has declared: the program has the same, so the class must keep them.

    Parameters
    ----------
    calculation : BlockBase
    arrays : dict of str to PerElement, Summed or Common
    """

    def __init__(self, calculation, arrays):
        self._calculation, self._arrays = calculation, arrays
        held = getattr(calculation, "__dict__", {}).items()
        self._names = [own for own, value in held if any(value is array.value for array in arrays.values())]

    def check(self):
        """Raise RunError if what the class changes would not be seen: it has another array now, or never had this."""
        who = type(self._calculation).__name__
        for own in self._names:
            now = getattr(self._calculation, own, None)
            if not any(now is array.value for array in self._arrays.values()):
                raise RunError(
                    f"{who}: self.{own} is no longer the array that arrays returned, of which updates and checkpoints "
                    f"are made: change it in place (self.{own}[...] = ...)"
                )
        for name, array in self._arrays.items():
            if not _is_held(array):
                raise RunError(
                    f"{who}.arrays: nobody but the program has the array {name!r}, so nothing changes it: keep an "
                    "array as an attribute, return that very one (no number, no copy), and change it in place"
                )


def _is_held(array):
    """Tell whether anybody but its `Array` refers to an array, or to the memory that it shows."""
    if sys.getrefcount(array.value) > _ALONE:
        return True
    base = array.value.base
    if not isinstance(base, np.ndarray):
        return base is not None
    return sys.getrefcount(base) > _ALONE + 1  # this function's own


_SAMPLE = Common(np.zeros(1))
_ALONE = sys.getrefcount(_SAMPLE.value)  # references to an array that only its `Array` has, as Python counts them
