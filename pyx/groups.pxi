# Sums over colours, elements of masks. Part of kernels.pyx.


def sum_colors(values, color, colors=None, threads=1):
    """Sum over the elements of each colour.

    Parameters
    ----------
    values : (m, n) float32 or float64
        Rows of X, or a result (D, n); any strides.
    color : (n,) int
        0 (and below): in no sum.
    colors : (C,) int, optional
        Those to sum, increasing; without it those of `color`. Workers must agree on them:
        give them where sums are to be added over workers.
    threads : int

    Returns
    -------
    (m, C) float64
        ``sums[:, k]`` belongs to ``colors[k]``.

    Raises
    ------
    ValueError
        Lengths do not fit, colours are not increasing.
    TypeError
        A dtype is another one.
    """
    expect("values", values, (np.float32, np.float64), (-1, -1))
    threads_of(threads)
    color = whole_numbers("color", color)
    if color.shape != values.shape[1:]:
        raise ValueError(f"color has the shape {_shape(color.shape)}, values have {values.shape[1]} elements")
    colors = np.unique(color[color > 0]) if colors is None else whole_numbers("colors", colors)
    if (colors[1:] <= colors[:-1]).any() or (len(colors) and colors[0] < 1):
        raise ValueError("colors should be increasing and above 0")
    return sum_indexed(values, color_index(color, colors), len(colors), threads)


def color_index(color, colors):
    """Return the (n,) int32 index in `colors` of each element's colour, -1 where it is none of them."""
    if len(colors) == 0:
        return np.full(len(color), -1, np.int32)
    at = np.minimum(np.searchsorted(colors, color), len(colors) - 1)
    return np.where(colors[at] == color, at, -1).astype(np.int32)


def sum_indexed(values, index, colors, threads=1):
    """Do what `sum_colors` does, with what `color_index` returns, made once for many calls; `colors`: how many."""
    expect("values", values, (np.float32, np.float64), (-1, -1))
    expect("index", index, (np.int32,), (values.shape[1],))
    cdef pca_status status
    cdef const void *x = pointer(values)
    cdef const int32_t *group
    cdef double *sums
    cdef int64_t m = len(values), n = len(index), groups = whole("colors", colors, 0, np.iinfo(np.int32).max)
    cdef int64_t row = values.strides[0] // values.itemsize, element = values.strides[1] // values.itemsize
    cdef int workers = threads_of(threads)
    cdef bint is_double = values.dtype == np.float64
    out = np.zeros((m, groups))
    if m == 0 or n == 0 or groups == 0:
        return out
    if not index.flags.c_contiguous or index.min() < -1 or index.max() >= groups:
        raise ValueError(f"index should be contiguous, from -1 to {groups - 1}")
    group, sums = <const int32_t *>pointer(index), <double *>pointer(out)
    with nogil:
        status = groups_of(x, m, n, row, element, group, <int32_t>groups, sums, groups, 1, workers, is_double)
    check(status)
    return out


def included(mask, part=slice(None)):
    """Return where the included elements are, for `gather` and `scatter`.

    Parameters
    ----------
    mask : bool array
        True for the elements to process, as ``self.mpiParams.mask``.
    part : slice
        Some of the included ones: ``self.mpiParams.part`` on a worker.

    Returns
    -------
    (n,) int64
        Positions in the array of the mask's shape, row by row.
    """
    expect_no_mask("mask", mask)
    mask = np.asarray(mask)
    if not isinstance(part, slice):
        raise TypeError(f"part is {part!r}, it should be a slice")
    if mask.dtype != bool:
        raise TypeError(f"mask holds {mask.dtype}, it should hold bool: write mask == 1")
    return np.flatnonzero(mask)[part].astype(np.int64, copy=False)


cdef int64_t expect_index(index) except -1:
    expect("index", index, (np.int64,), (-1,))
    if not index.flags.c_contiguous:
        raise ValueError("index is not contiguous; copy it first")
    return len(index)


def gather(frame, index, out=None):
    """Take the included elements out of an array of the detector's shape.

    Parameters
    ----------
    frame : float32 or float64 array
        Contiguous, any shape.
    index : (n,) int64
        From `included`.
    out : (n,) of the same dtype, optional

    Returns
    -------
    (n,) array
        `out`, or a new one.

    Raises
    ------
    ValueError
        A position beyond the frame, an array that is not contiguous or of another length,
        `out` in the memory of the others.
    TypeError
        A dtype is another one.
    """
    cdef pca_status status
    cdef int64_t n, size
    cdef const int64_t *at
    cdef const void *all_of_it
    cdef void *some
    cdef bint is_double
    n = expect_index(index)
    expect("frame", frame, (np.float32, np.float64), (-1,) * np.ndim(frame))
    out = np.empty(n, frame.dtype) if out is None else out
    expect("out", out, (frame.dtype,), (n,), written=True)
    if not (frame.flags.c_contiguous and out.flags.c_contiguous):
        raise ValueError("frame and out must be contiguous; copy first")
    expect_apart(("out", "frame", "index"), (out, frame, index), 1)
    at, all_of_it, some = <const int64_t *>pointer(index), pointer(frame), pointer(out)
    size, is_double = frame.size, frame.dtype == np.float64
    with nogil:
        if is_double:
            status = pca_gather_f64(<const double *>all_of_it, size, at, n, <double *>some)
        else:
            status = pca_gather_f32(<const float *>all_of_it, size, at, n, <float *>some)
    if status == PCA_BAD_VALUE:
        raise ValueError(f"index has positions beyond the {size} of the frame: is it that of another mask?")
    check(status)
    return out


def scatter(values, index, out):
    """Put values of the included elements into an array of the detector's shape.

    Parameters
    ----------
    values : (n,) float32 or float64
        Any stride: ``G2[d]`` of a worker's result.
    index : (n,) int64
        From `included`.
    out : array of the same dtype
        Contiguous, any shape; only its included elements change.

    Returns
    -------
    `out`

    Raises
    ------
    ValueError
        A position beyond `out`, another length, or not contiguous; `out` in the memory of
        the others. Nothing has been written then.
    TypeError
        A dtype is another one.
    """
    cdef pca_status status
    cdef int64_t n, step, size
    cdef const int64_t *at
    cdef const void *some
    cdef void *all_of_it
    cdef bint is_double
    n = expect_index(index)
    expect("values", values, (np.float32, np.float64), (n,))
    expect("out", out, (values.dtype,), (-1,) * np.ndim(out), written=True)
    if not out.flags.c_contiguous:
        raise ValueError("out must be contiguous")
    expect_apart(("out", "values", "index"), (out, values, index), 1)
    at, some, all_of_it = <const int64_t *>pointer(index), pointer(values), pointer(out)
    step, size, is_double = values.strides[0] // values.itemsize, out.size, values.dtype == np.float64
    with nogil:
        if is_double:
            status = pca_scatter_f64(<const double *>some, step, at, n, <double *>all_of_it, size)
        else:
            status = pca_scatter_f32(<const float *>some, step, at, n, <float *>all_of_it, size)
    if status == PCA_BAD_VALUE:
        raise ValueError(f"index has positions beyond the {size} of out: is it that of another mask?")
    check(status)
    return out
