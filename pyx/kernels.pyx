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


include "exported.pxi"


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
    float32 and 1e-12 for float64, and whole numbers are exact (docs/definitions.md).
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


include "groups.pxi"


def _choose_at_import():
    name = os.environ.get("PARCORANA_CPU") or None
    if name is None or name in paths():
        choose_path(name)
    else:
        raise ValueError(f"PARCORANA_CPU: no code path {name!r} on this machine; there are {', '.join(paths())}")


_choose_at_import()
