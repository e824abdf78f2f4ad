# cython: language_level=3, cdivision=True
"""The kernels as a library: sums over pairs of rows, over colours, and masks, for user code.

What `parcorana.userg2` is made of, for functions of your own: docs/kernels.md has
examples. `X` and `T` are those of `workerCalc` and `adjustTerms`; results are added to
arrays that the caller owns. Arrays are taken as they are: a wrong dtype or shape is an
error, never a silent copy; any strides will do. How a sum is made depends on the pairs
alone, so that threads, the layout of X, and how the elements are divided change no bit.

The same functions without the GIL, for Cython: parcorana/kernels.pxd.
"""

import collections
import operator
import os

import numpy as np

from libc.stdlib cimport free, malloc

cdef extern from "parcorana.h" nogil:
    ctypedef struct pca_events:
        int64_t *counter
        int32_t *row
        int32_t *seq
        int32_t *leave
        int64_t capacity
        int64_t head
        int64_t tail
    pca_status pca_find_runs(const pca_events *, int64_t, const uint8_t *, const int64_t *, int64_t,
                             pca_run *, int64_t, int64_t *, int64_t *)
    int PCA_NEW_LATER
    int PCA_OLD_LATER

cdef extern from "pairs.h" nogil:
    ctypedef struct pca_matrix:
        const void *values
        int64_t row
        int64_t element
    ctypedef struct pca_pairs:
        const pca_run *run
        const int64_t *start
        int64_t delays
        int64_t rows
        int64_t elements
        pca_matrix past
        pca_matrix future
        double *g2
        double *ip
        double *fut
        int64_t delay
        int64_t element
        double sign
    int PCA_MOST_IN_PANEL
    pca_status pca_prepare_pairs(pca_pairs *, int)
    size_t pca_pairs_scratch(const pca_pairs *, int, int)
    pca_status pca_add_pairs(const pca_pairs *, int, int, char *)
    size_t pca_sort_scratch(int64_t)
    pca_status pca_sort_rows(const int64_t *, int64_t, const uint8_t *, pca_events *, void *)
    int PCA_ROWS
    pca_status pca_sum_groups_f32(const pca_matrix *, int64_t, int64_t, const int32_t *, int32_t,
                                  double *, int64_t, int64_t, int, double *)
    pca_status pca_sum_groups_f64(const pca_matrix *, int64_t, int64_t, const int32_t *, int32_t,
                                  double *, int64_t, int64_t, int, double *)
    pca_status pca_gather_f32(const float *, int64_t, const int64_t *, int64_t, float *)
    pca_status pca_gather_f64(const double *, int64_t, const int64_t *, int64_t, double *)
    pca_status pca_scatter_f32(const float *, int64_t, const int64_t *, int64_t, float *, int64_t)
    pca_status pca_scatter_f64(const double *, int64_t, const int64_t *, int64_t, double *, int64_t)

include "checks.pxi"

#: Version of what modules compiled against the kernels rely on.
ABI = PARCORANA_KERNELS_ABI
#: One run of pairs: rows (i + k, j + k) for k < length.
RUN_DTYPE = np.dtype([("i", np.int32), ("j", np.int32), ("length", np.int32)])


class Runs(collections.namedtuple("Runs", ["run", "start", "counts"])):
    """The pairs of each delay, as runs of rows that go up by one.

    Attributes
    ----------
    run : (R,) array of `RUN_DTYPE`
        The pairs of rows (i + k, j + k), 0 <= k < length; row i was taken earlier.
    start : (D + 1,) int64
        ``run[start[d]:start[d + 1]]`` are those of the d-th delay.
    counts : (D,) int64
        Number of pairs per delay.
    """

    __slots__ = ()


# -- for Cython: no GIL, a status --------------------------------------------------


cdef int check(pca_status status) except -1 nogil:
    if status == PCA_OK:
        return 0
    with gil:
        return raise_status(status)


cdef int raise_status(pca_status status) except -1:
    if status == PCA_NO_MEMORY:
        raise MemoryError("there is not enough memory for the kernel's scratch")
    raise ValueError({
        PCA_MORE: "an output array is too short",
        PCA_BAD_LENGTH: "lengths do not fit together",
        PCA_BAD_VALUE: "a value is out of its range",
        PCA_BAD_RUN: "a run of rows reaches beyond the rows there are, or its length is below 0",
        PCA_REPEATED: "T has the same counter in two rows",
        PCA_SHARED: "a result lies in the memory of another one, or of what it is made of",
    }.get(status, f"status {<int>status}, which is none of parcorana's"))


cdef int require_abi(int compiled_for) except -1:
    if compiled_for != PARCORANA_KERNELS_ABI:
        raise ImportError(
            f"this module was compiled for version {compiled_for} of parcorana's kernels, the installed ones have "
            f"version {PARCORANA_KERNELS_ABI}: build it again"
        )
    return 0


cdef pca_status row_runs(const int64_t *T, int64_t rows, const uint8_t *is_new,
                         const int64_t *delay, int64_t delays, pca_run *run, int64_t capacity,
                         int64_t *start, int64_t *counts) noexcept nogil:
    cdef pca_events ev
    cdef pca_status status = PCA_OK
    cdef uint8_t *kinds
    cdef char *memory
    cdef size_t events
    cdef int64_t d
    cdef pca_view views[6]
    if rows < 0 or delays < 0 or capacity < 0:
        return PCA_BAD_LENGTH
    views[0], views[1] = flat(run, capacity, sizeof(pca_run)), flat(start, delays + 1, sizeof(int64_t))
    views[2], views[3] = flat(counts, delays, sizeof(int64_t)), flat(T, rows, sizeof(int64_t))
    views[4], views[5] = flat(delay, delays, sizeof(int64_t)), flat(is_new, rows if is_new != NULL else 0, 1)
    if pca_tangled(views, 3, 6, NULL):
        return PCA_SHARED
    for d in range(delays):
        if delay[d] < 0:
            return PCA_BAD_VALUE
    events = <size_t>rows * (sizeof(int64_t) + 3 * sizeof(int32_t))
    memory = <char *>malloc(pca_sort_scratch(rows) + events + <size_t>delays + 64)
    if memory == NULL:
        return PCA_NO_MEMORY
    ev.counter = <int64_t *>(memory + pca_sort_scratch(rows))
    ev.row = <int32_t *>(ev.counter + rows)
    ev.seq, ev.leave = ev.row + rows, ev.row + 2 * rows
    kinds = <uint8_t *>(ev.row + 3 * rows)
    for d in range(delays):
        kinds[d] = <uint8_t>(PCA_NEW_LATER | PCA_OLD_LATER)
    status = pca_sort_rows(T, rows, is_new, &ev, memory)
    if status == PCA_OK:
        status = pca_find_runs(&ev, 0, kinds, delay, delays, run, capacity, start, counts)
    free(memory)
    return status


cdef pca_status pairs_of(pca_pairs *pairs, bint is_double, int threads) noexcept nogil:
    cdef pca_status status
    cdef char *scratch
    if threads < 1:
        return PCA_BAD_VALUE
    status = pca_prepare_pairs(pairs, is_double)
    if status != PCA_OK:
        return status
    # threads without a panel of elements would take scratch for nothing
    threads = <int>max(1, min(<int64_t>threads, (pairs.elements + PCA_MOST_IN_PANEL - 1) // PCA_MOST_IN_PANEL))
    scratch = <char *>malloc(pca_pairs_scratch(pairs, is_double, threads))
    if scratch == NULL:
        return PCA_NO_MEMORY
    status = pca_add_pairs(pairs, is_double, threads, scratch)
    free(scratch)
    return status


cdef pca_pairs describe(const pca_run *run, const int64_t *start, int64_t delays, const void *x, int64_t rows,
                        int64_t elements, int64_t x_row, int64_t x_element, double *G2, double *IP,
                        double *IF_, int64_t out_delay, int64_t out_element, double sign) noexcept nogil:
    cdef pca_pairs pairs
    pairs.run, pairs.start, pairs.delays = run, start, delays
    pairs.rows, pairs.elements = rows, elements
    pairs.past.values, pairs.past.row, pairs.past.element = x, x_row, x_element
    pairs.future = pairs.past
    pairs.g2, pairs.ip, pairs.fut = G2, IP, IF_
    pairs.delay, pairs.element, pairs.sign = out_delay, out_element, sign
    return pairs


cdef pca_status add_pairs_f32(const pca_run *run, const int64_t *start, int64_t delays,
                              const float *x, int64_t rows, int64_t elements, int64_t x_row,
                              int64_t x_element, double *G2, double *IP, double *IF_,
                              int64_t out_delay, int64_t out_element, double sign,
                              int threads) noexcept nogil:
    cdef pca_pairs pairs = describe(run, start, delays, x, rows, elements, x_row, x_element, G2, IP, IF_,
                                    out_delay, out_element, sign)
    return pairs_of(&pairs, False, threads)


cdef pca_status add_pairs_f64(const pca_run *run, const int64_t *start, int64_t delays,
                              const double *x, int64_t rows, int64_t elements, int64_t x_row,
                              int64_t x_element, double *G2, double *IP, double *IF_,
                              int64_t out_delay, int64_t out_element, double sign,
                              int threads) noexcept nogil:
    cdef pca_pairs pairs = describe(run, start, delays, x, rows, elements, x_row, x_element, G2, IP, IF_,
                                    out_delay, out_element, sign)
    return pairs_of(&pairs, True, threads)


cdef pca_status cross_of(pca_pairs *pairs, const void *series, bint series_is_future, bint is_double,
                         int threads) noexcept nogil:
    cdef pca_matrix one
    one.values, one.row, one.element = series, 1, 0
    if series_is_future:
        pairs.future = one
    else:
        pairs.past = one
    return pairs_of(pairs, is_double, threads)


cdef pca_status add_cross_f32(const pca_run *run, const int64_t *start, int64_t delays,
                              const float *series, bint series_is_future,
                              const float *x, int64_t rows, int64_t elements, int64_t x_row,
                              int64_t x_element, double *G2, double *IP, double *IF_,
                              int64_t out_delay, int64_t out_element, double sign,
                              int threads) noexcept nogil:
    cdef pca_pairs pairs = describe(run, start, delays, x, rows, elements, x_row, x_element, G2, IP, IF_,
                                    out_delay, out_element, sign)
    return cross_of(&pairs, series, series_is_future, False, threads)


cdef pca_status add_cross_f64(const pca_run *run, const int64_t *start, int64_t delays,
                              const double *series, bint series_is_future,
                              const double *x, int64_t rows, int64_t elements, int64_t x_row,
                              int64_t x_element, double *G2, double *IP, double *IF_,
                              int64_t out_delay, int64_t out_element, double sign,
                              int threads) noexcept nogil:
    cdef pca_pairs pairs = describe(run, start, delays, x, rows, elements, x_row, x_element, G2, IP, IF_,
                                    out_delay, out_element, sign)
    return cross_of(&pairs, series, series_is_future, True, threads)


cdef pca_status groups_of(const void *x, int64_t rows, int64_t elements, int64_t x_row,
                          int64_t x_element, const int32_t *group, int32_t groups, double *out,
                          int64_t out_row, int64_t out_group, int threads, bint is_double) noexcept nogil:
    cdef pca_matrix v
    cdef pca_status status
    cdef double *scratch
    cdef pca_view views[3]
    cdef int64_t size = sizeof(double) if is_double else sizeof(float)
    v.values, v.row, v.element = x, x_row, x_element
    if rows < 0 or elements < 0 or groups < 0:
        return PCA_BAD_LENGTH
    if threads < 1:
        return PCA_BAD_VALUE
    views[0], views[1], views[2] = flat(out, rows, 8), flat(x, rows, size), flat(group, elements, 4)
    views[0].n[1], views[0].step[0], views[0].step[1] = groups, out_row * 8, out_group * 8
    views[1].n[1], views[1].step[0], views[1].step[1] = elements, x_row * size, x_element * size
    if pca_tangled(views, 1, 3, NULL):
        return PCA_SHARED
    scratch = <double *>malloc((<size_t>threads * <size_t>groups * <size_t>PCA_ROWS + 1) * sizeof(double))
    if scratch == NULL:
        return PCA_NO_MEMORY
    if is_double:
        status = pca_sum_groups_f64(&v, rows, elements, group, groups, out, out_row, out_group, threads, scratch)
    else:
        status = pca_sum_groups_f32(&v, rows, elements, group, groups, out, out_row, out_group, threads, scratch)
    free(scratch)
    return status


cdef pca_status sum_groups_f32(const float *x, int64_t rows, int64_t elements, int64_t x_row,
                               int64_t x_element, const int32_t *group, int32_t groups,
                               double *out, int64_t out_row, int64_t out_group,
                               int threads) noexcept nogil:
    return groups_of(x, rows, elements, x_row, x_element, group, groups, out, out_row, out_group, threads, False)


cdef pca_status sum_groups_f64(const double *x, int64_t rows, int64_t elements, int64_t x_row,
                               int64_t x_element, const int32_t *group, int32_t groups,
                               double *out, int64_t out_row, int64_t out_group,
                               int threads) noexcept nogil:
    return groups_of(x, rows, elements, x_row, x_element, group, groups, out, out_row, out_group, threads, True)


# Whether the included values, the frame they come from or go to, and the index lie apart.
cdef bint lie_apart(const void *included, int64_t step, const void *frame, int64_t size, const int64_t *index,
                    int64_t n, int64_t itemsize, bint to_frame) noexcept nogil:
    cdef pca_view views[3]
    views[1 if to_frame else 0] = flat(included, n, itemsize)
    views[1 if to_frame else 0].step[0] = step * itemsize
    views[0 if to_frame else 1] = flat(frame, size, itemsize)
    views[2] = flat(index, n, sizeof(int64_t))
    return not pca_tangled(views, 1, 3, NULL)


cdef pca_status gather_f32(const float *frame, int64_t size, const int64_t *index, int64_t n,
                           float *included) noexcept nogil:
    if not lie_apart(included, 1, frame, size, index, n, sizeof(float), False):
        return PCA_SHARED
    return pca_gather_f32(frame, size, index, n, included)


cdef pca_status gather_f64(const double *frame, int64_t size, const int64_t *index, int64_t n,
                           double *included) noexcept nogil:
    if not lie_apart(included, 1, frame, size, index, n, sizeof(double), False):
        return PCA_SHARED
    return pca_gather_f64(frame, size, index, n, included)


cdef pca_status scatter_f32(const float *included, int64_t step, const int64_t *index, int64_t n,
                            float *frame, int64_t size) noexcept nogil:
    if not lie_apart(included, step, frame, size, index, n, sizeof(float), True):
        return PCA_SHARED
    return pca_scatter_f32(included, step, index, n, frame, size)


cdef pca_status scatter_f64(const double *included, int64_t step, const int64_t *index, int64_t n,
                            double *frame, int64_t size) noexcept nogil:
    if not lie_apart(included, step, frame, size, index, n, sizeof(double), True):
        return PCA_SHARED
    return pca_scatter_f64(included, step, index, n, frame, size)


# -- for Python --------------------------------------------------------------------


include "paths.pxi"


def find_runs(T, delays, rows=None):
    """Find the pairs of rows that are a delay apart.

    Parameters
    ----------
    T : (times,) int64 [pulses]
        When each row was taken, in any order; the smallest int64 marks unfilled rows, which
        make no pairs.
    delays : (D,) int [pulses]
        0 or more; at delay 0 each row is paired with itself.
    rows : int or sequence of int, optional
        Only pairs in which at least one row is among these: what `adjustTerms` and
        `adjustTermsBlock` are told. A pair of two of them is there once. A mask is
        refused: ``np.flatnonzero(mask)``.

    Returns
    -------
    Runs

    Raises
    ------
    ValueError
        A counter is there twice, a delay is below 0, a row is none of T.
    TypeError
        T is not an int64 array; delays or rows are no whole numbers.
    """
    cdef int64_t n, times, capacity
    cdef const int64_t *t
    cdef const int64_t *delay
    cdef const uint8_t *is_new = NULL
    cdef int64_t *begins
    cdef int64_t *numbers
    cdef pca_run *found
    cdef pca_status status = PCA_OK
    expect("T", T, (np.int64,), (-1,))
    T, delays = np.ascontiguousarray(T), whole_numbers("delays", delays)
    n, times = len(delays), len(T)
    start, counts = np.zeros(n + 1, np.int64), np.zeros(n, np.int64)
    if n and delays.min() < 0:
        raise ValueError(f"delays has {delays.min()}, all should be 0 or more")
    if rows is not None:
        new, rows = np.zeros(times, np.uint8), whole_numbers("rows", rows)
        if len(rows) and not (0 <= rows.min() and rows.max() < times):
            raise ValueError(f"rows has {rows.min()} to {rows.max()}, T has only rows 0 to {times - 1}")
        new[rows] = 1
        is_new = <const uint8_t *>pointer(new)
    t, delay = <const int64_t *>pointer(T), <const int64_t *>pointer(delays)
    begins, numbers = <int64_t *>pointer(start), <int64_t *>pointer(counts)
    capacity = 4 * n + 64
    while True:
        run = np.empty(capacity, RUN_DTYPE)
        found = <pca_run *>pointer(run)
        with nogil:
            status = row_runs(t, times, is_new, delay, n, found, capacity, begins, numbers)
        if status != PCA_MORE:
            break
        capacity *= 4
    check(status)
    return Runs(run[:start[n]].copy(), start, counts)


def add_pairs(runs, X, G2=None, IP=None, IF_=None, *, past=None, future=None, threads=1):
    """Add the sums over pairs of rows: ``G2 += X[i] X[j]``, ``IP += X[i]``, ``IF += X[j]``.

    Parameters
    ----------
    runs : Runs
        From `find_runs`; row i of a pair was taken earlier.
    X : (times, n) float32 or float64
        Any strides. One element contiguous ('F') is fastest, one event ('C') nearly as fast.
    G2, IP, IF_ : (D, n) float64, optional
        Sums are added to those that are given. All of the same strides, whichever; the
        transpose of an array (n, D) keeps an element's delays together, as X in 'F' order
        does its times. (`IF` without the underscore is a word of Cython's own.)
    past, future : (times,) of X's dtype, optional
        One series for all elements in the place of X[i], or of X[j]: a reference intensity,
        the mean over a group of elements, an element of X. Not both.
    threads : int
        ``self.mpiParams.threads`` in a user class.

    Raises
    ------
    ValueError
        Shapes or runs do not fit; both `past` and `future`; a result lies in the memory of
        another one or of what it is made of. Nothing has been added then.
    TypeError
        A dtype is another one, an array is a masked one.

    Notes
    -----
    Sums are float64; products of float32 values are added up in float32 a few at a time.
    Against the sum of absolute products (values, for IP and IF) the error is below 1e-6 for
    float32 and 1e-12 for float64, and whole numbers are exact (contract, section 8).
    """
    pairs(runs, X, G2, IP, IF_, past, future, threads, 1.0)


def remove_pairs(runs, X, G2=None, IP=None, IF_=None, *, past=None, future=None, threads=1):
    """Take away what `add_pairs` with the same arguments adds.

    What was added and is taken away again leaves its rounding errors behind: compute sums of
    a window anew from time to time, or keep to whole numbers, which have none.
    """
    pairs(runs, X, G2, IP, IF_, past, future, threads, -1.0)


cdef int pairs(runs, X, G2, IP, IF_, past, future, threads, double sign) except -1:
    cdef pca_pairs it
    cdef pca_matrix one
    cdef pca_view view
    cdef pca_status status
    cdef int workers = threads_of(threads)
    cdef bint is_double
    if not isinstance(runs, tuple) or len(runs) != 3:
        raise TypeError(f"runs is a {type(runs).__name__}, it should be what find_runs returns")
    run, start, counts = runs
    expect("X", X, (np.float32, np.float64), (-1, -1))
    expect("runs.run", run, (RUN_DTYPE,), (-1,))
    expect("runs.counts", counts, (np.int64,), (-1,))
    expect("runs.start", start, (np.int64,), (len(counts) + 1,))
    run, start = np.ascontiguousarray(run), np.ascontiguousarray(start)
    shape = (len(counts), X.shape[1])
    it.run, it.start, it.delays = <const pca_run *>pointer(run), <const int64_t *>pointer(start), shape[0]
    if start[shape[0]] != len(run):
        raise ValueError(f"runs.start ends at {start[shape[0]]}, there are {len(run)} runs")
    it.rows, it.elements, it.sign = X.shape[0], X.shape[1], sign
    view = view_of(X)
    it.past.values = view.first
    it.past.row, it.past.element = view.step[0] // view.size, view.step[1] // view.size
    it.future = it.past
    names, arrays = ["X", "runs.run", "runs.start"], [X, run, start]
    if past is not None and future is not None:
        raise ValueError("past and future are both given; X is one of the two")
    for name, series in (("past", past), ("future", future)):
        if series is None:
            continue
        expect(name, series, (X.dtype,), (X.shape[0],))
        names.append(name)
        arrays.append(series)
        view = view_of(series)
        one.values, one.row, one.element = view.first, view.step[0] // view.size, 0
        if past is not None:
            it.past = one
        else:
            it.future = one
    it.g2 = it.ip = it.fut = NULL
    it.delay = it.element = 0
    given = [(name, array) for name, array in (("G2", G2), ("IP", IP), ("IF_", IF_)) if array is not None]
    for name, array in given:
        expect(name, array, (np.float64,), shape, written=True)
        if array.strides != given[0][1].strides:
            raise ValueError(f"{name} lies in memory in another order than the other results")
        view = view_of(array)
        it.delay, it.element = view.step[0] // 8, view.step[1] // 8
        if name == "G2":
            it.g2 = <double *>view.first
        elif name == "IP":
            it.ip = <double *>view.first
        else:
            it.fut = <double *>view.first
    expect_apart([name for name, _ in given] + names, [array for _, array in given] + arrays, len(given))
    is_double = X.dtype == np.float64
    with nogil:
        status = pairs_of(&it, is_double, workers)
    check(status)
    return 0


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


def _choose_at_import():
    name = os.environ.get("PARCORANA_CPU") or None
    if name is None or name in paths():
        choose_path(name)
    else:
        raise ValueError(f"PARCORANA_CPU: no code path {name!r} on this machine; there are {', '.join(paths())}")


_choose_at_import()
