# What Python hands to the kernels, looked at before C relies on it.

include "views.pxi"

_LARGEST = np.iinfo(np.int64).max
_MOST_THREADS = 4096  # far beyond any machine; a library of threads that gets no more of them ends the process


cdef pca_view flat(const void *first, int64_t n, int64_t size) noexcept nogil:
    """Return the view of n values side by side."""
    cdef pca_view view
    view.first, view.size = first, size
    view.n[0], view.n[1] = n, 1
    view.step[0] = view.step[1] = size
    return view


def _shape(shape):
    return " x ".join(map(str, shape)) or "()"


cdef int expect_no_mask(name, array) except -1:
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would count for nothing: give what is to be used alone")
    return 0


cdef int expect(name, array, dtypes, shape, written=False) except -1:
    """Check what C is about to rely on; -1 in `shape` stands for any length."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} is a {type(array).__name__}, it should be a NumPy array")
    expect_no_mask(name, array)
    if array.dtype not in dtypes:
        wanted = " or ".join(str(np.dtype(t)) for t in dtypes)
        raise TypeError(f"{name} holds {array.dtype}, it should hold {wanted}")
    if array.ndim != len(shape) or any(s not in (-1, n) for s, n in zip(shape, array.shape, strict=True)):
        wanted = _shape(["any" if s == -1 else s for s in shape])
        raise ValueError(f"{name} has the shape {_shape(array.shape)}, it should be {wanted}")
    if written and not array.flags.writeable:
        raise ValueError(f"{name} is read-only, and should take the result")
    if not array.flags.aligned or any(s % array.itemsize for s in array.strides):
        raise ValueError(f"{name} lies across its values' boundaries in memory; copy it first")
    return 0


def _as_whole(value):
    """Return what is a whole number as an int, None for anything else, as a bool."""
    try:
        return None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        return None


cdef int64_t whole(name, value, low, high) except? -1:
    """Return a whole number from `low` to `high`."""
    number = _as_whole(value)
    if number is None:
        raise TypeError(f"{name} is {value!r}, it should be a whole number")
    if number > high:
        raise ValueError(f"{name} is {value}, it should be {high} at most")
    if number < low:
        raise ValueError(f"{name} is {value}, it should be {low} or more")
    return number


cdef int threads_of(threads) except -1:
    return <int>whole("threads", threads, 1, _MOST_THREADS)


cdef whole_numbers(name, values):
    """Return a list, an array or a single one of whole numbers as a contiguous (n,) int64 array; no others will do."""
    expect_no_mask(name, values)
    if isinstance(values, np.ndarray):
        if values.dtype == bool:
            raise TypeError(f"{name} holds bool, it should hold whole numbers: np.flatnonzero makes them of a mask")
        if values.dtype.kind not in "iu":
            raise TypeError(f"{name} holds {values.dtype}, it should hold whole numbers")
        if values.ndim > 1:
            raise ValueError(f"{name} has the shape {_shape(values.shape)}, it should be any")
        if values.dtype.kind == "i":
            return np.ascontiguousarray(values, np.int64).reshape(-1)
    elif not np.iterable(values) or isinstance(values, str | bytes | dict | set | frozenset):
        values = [values]
    elif isinstance(values, list) and set(map(type, values)) == {int}:  # a list of delays, as for each event
        try:
            return np.array(values, np.int64)
        except OverflowError:
            pass
    numbers = [(value, _as_whole(value)) for value in values]
    for value, number in numbers:
        if number is None:
            raise TypeError(f"{name} should hold whole numbers: {value!r} is none")
        if abs(number) > _LARGEST:
            raise ValueError(f"{name} has {number}, which is beyond int64")
    return np.array([number for _, number in numbers], np.int64)


cdef void *pointer(array) except? NULL:
    return <void *><size_t>array.__array_interface__["data"][0]
