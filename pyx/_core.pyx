# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Bindings of the C core: validation, then one call without the GIL.

Arrays are taken as they are: a wrong dtype, a stride or a wrong length is an
error, never a silent copy.
"""

import numpy as np

from libc.stdint cimport int8_t, int32_t, int64_t

cdef extern from "parcorana.h" nogil:
    ctypedef enum pca_status:
        PCA_OK
        PCA_MORE
        PCA_BAD_LENGTH
        PCA_BAD_VALUE
    int32_t PCA_STAYS
    int PCA_PROCESSED
    int PCA_DUPLICATE
    int PCA_LATE
    ctypedef struct pca_events:
        int64_t *counter
        int32_t *row
        int32_t *seq
        int32_t *leave
        int64_t capacity
        int64_t head
        int64_t tail
    ctypedef struct pca_run:
        int32_t i
        int32_t j
        int32_t length
    ctypedef struct pca_runs:
        const pca_run *run
        const int64_t *start
        int64_t delays
    pca_status pca_counters(const int64_t *, int64_t, int64_t, int64_t, int64_t, int64_t *)
    pca_status pca_admit(pca_events *, int64_t, const int64_t *, int64_t, int64_t, int8_t *,
                         int64_t *, int64_t *)
    pca_status pca_find_runs(const pca_events *, int64_t, int64_t, const int64_t *, int64_t,
                             pca_run *, int64_t, int64_t *, int64_t *)
    pca_status pca_fill_f32(const float *, int64_t, const int64_t *, const int64_t *, int64_t,
                            float *, int64_t, int)
    pca_status pca_fill_f64(const double *, int64_t, const int64_t *, const int64_t *, int64_t,
                            double *, int64_t, int)
    pca_status pca_copy_runs_f32(const float *, int64_t, float *, int64_t, int64_t,
                                 const pca_run *, int64_t, int)
    pca_status pca_copy_runs_f64(const double *, int64_t, double *, int64_t, int64_t,
                                 const pca_run *, int64_t, int)
    pca_status pca_g2_f32(const float *, int64_t, const float *, int64_t, int64_t, int64_t,
                          const pca_runs *, double, double *, double *, double *, int)
    pca_status pca_g2_f64(const double *, int64_t, const double *, int64_t, int64_t, int64_t,
                          const pca_runs *, double, double *, double *, double *, int)
    pca_status pca_energy_f32(const float *, int64_t, int64_t, int64_t, double *, int)
    pca_status pca_energy_f64(const double *, int64_t, int64_t, int64_t, double *, int)
    pca_status pca_whole_f32(const float *, int64_t, int64_t, int64_t, int32_t *)
    pca_status pca_whole_f64(const double *, int64_t, int64_t, int64_t, int32_t *)

cdef extern from *:
    """
    #ifdef _OPENMP
    #define PCA_OPENMP _OPENMP
    #else
    #define PCA_OPENMP 0
    #endif
    #if defined(__clang__)
    #define PCA_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
    #define PCA_COMPILER "gcc " __VERSION__
    #else
    #define PCA_COMPILER "unknown"
    #endif
    """
    int PCA_OPENMP
    const char *PCA_COMPILER

STAYS = PCA_STAYS
PROCESSED = PCA_PROCESSED
DUPLICATE = PCA_DUPLICATE
LATE = PCA_LATE
RUN_DTYPE = np.dtype([("i", np.int32), ("j", np.int32), ("length", np.int32)])

ctypedef fused real:
    float
    double


def build_info():
    """Return ``{'compiler': str, 'openmp': int}`` of this build; openmp 0 is without."""
    return {"compiler": PCA_COMPILER.decode(), "openmp": PCA_OPENMP}


cdef int check(pca_status status) except -1:
    if status == PCA_OK:
        return 0
    if status == PCA_BAD_LENGTH:
        raise ValueError("lengths do not fit together")
    if status == PCA_BAD_VALUE:
        raise ValueError("a value is out of its range")
    raise MemoryError("an output array is too short")


cdef int same_length(const char *what, Py_ssize_t got, Py_ssize_t wanted) except -1:
    if got != wanted:
        raise ValueError(f"{what.decode()} has length {got}, it should be {wanted}")
    return 0


def counters(const int64_t[::1] stamp not None, int64_t first, int64_t rate_num, int64_t rate_den,
             int64_t[::1] out not None):
    """Write ``round((stamp - first) * rate / 1e9)``, halves up, in exact arithmetic.

    Parameters
    ----------
    stamp : (n,) int64 [ns]
    first : int [ns]
    rate_num, rate_den : int
        The rate as a fraction [Hz]; rate_num < 2**32.
    out : (n,) int64 [pulses]

    Raises
    ------
    ValueError
        Lengths differ, or a counter does not fit into int64.
    """
    cdef int64_t n = stamp.shape[0]
    cdef pca_status status
    same_length(b"out", out.shape[0], n)
    if rate_num >= 1 << 32:
        raise ValueError(f"rate_num must be below 2**32, not {rate_num}")
    if n == 0:
        return
    with nogil:
        status = pca_counters(&stamp[0], n, first, rate_num, rate_den, &out[0])
    check(status)


cdef pca_events events_of(int64_t[::1] counter, int32_t[::1] row, int32_t[::1] seq,
                          int32_t[::1] leave, int64_t head, int64_t tail) except *:
    cdef pca_events ev
    cdef Py_ssize_t n = counter.shape[0]
    same_length(b"row", row.shape[0], n)
    same_length(b"seq", seq.shape[0], n)
    same_length(b"leave", leave.shape[0], n)
    if n == 0 or not 0 <= head <= tail <= n:
        raise ValueError(f"head {head} and tail {tail} do not fit into arrays of length {n}")
    ev.counter = &counter[0]
    ev.row = &row[0]
    ev.seq = &seq[0]
    ev.leave = &leave[0]
    ev.capacity = n
    ev.head = head
    ev.tail = tail
    return ev


def admit(int64_t[::1] counter not None, int32_t[::1] row not None, int32_t[::1] seq not None,
          int32_t[::1] leave not None, int64_t head, int64_t tail, int64_t times,
          const int64_t[::1] entering not None, int64_t limit, int8_t[::1] fate not None,
          int64_t[::1] entered not None):
    """Let events enter one at a time (contract, section 1); see `pca_admit` in csrc.

    Returns
    -------
    head, tail, consumed : int
        The new bounds, and how many of `entering` were looked at.
    """
    cdef pca_events ev = events_of(counter, row, seq, leave, head, tail)
    cdef int64_t consumed = 0, n = entering.shape[0]
    cdef pca_status status
    if times < 1 or fate.shape[0] < n or entered.shape[0] < min(n, limit):
        raise ValueError("admit: times must be >= 1, fate and entered long enough for all events")
    if n == 0 or limit <= 0:
        return head, tail, 0
    with nogil:
        status = pca_admit(&ev, times, &entering[0], n, limit, &fate[0], &entered[0], &consumed)
    check(status)
    return ev.head, ev.tail, consumed


def find_runs(int64_t[::1] counter not None, int32_t[::1] row not None, int32_t[::1] seq not None,
              int32_t[::1] leave not None, int64_t first, int64_t tail, int64_t split,
              const int64_t[::1] delays not None):
    """Find the row runs of all pairs with at least one new event; see `pca_find_runs` in csrc.

    Returns
    -------
    run : (R,) RUN_DTYPE
    start : (D + 1,) int64
    counts : (D,) int64
    """
    cdef pca_events ev = events_of(counter, row, seq, leave, first, tail)
    cdef int64_t n = delays.shape[0], capacity = 4 * n + 64
    cdef int64_t[::1] start = np.zeros(n + 1, np.int64)
    cdef int64_t[::1] counts = np.zeros(n, np.int64)
    cdef int32_t[::1] flat
    cdef pca_status status = PCA_OK
    if n == 0:
        return np.zeros(0, RUN_DTYPE), np.asarray(start), np.asarray(counts)
    while True:
        run = np.empty(capacity, RUN_DTYPE)
        flat = run.view(np.int32)
        with nogil:
            status = pca_find_runs(&ev, first, split, &delays[0], n, <pca_run *>&flat[0],
                                   capacity, &start[0], &counts[0])
        if status != PCA_MORE:
            break
        capacity *= 4
    check(status)
    return run[:start[n]].copy(), np.asarray(start), np.asarray(counts)


def fill(const real[:, ::1] src not None, const int64_t[::1] rows not None,
         const int64_t[::1] to not None, real[::1, :] dst not None, int threads=1):
    """``dst[to[k], p] = src[rows[k], p]``: events x elements into element-major storage.

    Parameters
    ----------
    src : (m, n) float32 or float64, C order
    rows, to : (k,) int64
    dst : (times, n) of the same dtype, Fortran order
    """
    cdef Py_ssize_t k, m = rows.shape[0]
    cdef pca_status status
    same_length(b"to", to.shape[0], m)
    same_length(b"dst (elements)", dst.shape[1], src.shape[1])
    for k in range(m):
        if not (0 <= rows[k] < src.shape[0] and 0 <= to[k] < dst.shape[0]):
            raise ValueError(f"row {rows[k]} or its place {to[k]} is out of range")
    if m == 0 or src.shape[1] == 0:
        return
    with nogil:
        if real is float:
            status = pca_fill_f32(&src[0, 0], src.shape[1], &rows[0], &to[0], m, &dst[0, 0],
                                  dst.shape[0], threads)
        else:
            status = pca_fill_f64(&src[0, 0], src.shape[1], &rows[0], &to[0], m, &dst[0, 0],
                                  dst.shape[0], threads)
    check(status)


cdef const pca_run *checked_runs(const int32_t[::1] flat, Py_ssize_t rows_i,
                                 Py_ssize_t rows_j) except? NULL:
    cdef Py_ssize_t k, n = flat.shape[0] // 3
    for k in range(n):
        if (flat[3 * k] < 0 or flat[3 * k + 1] < 0 or flat[3 * k + 2] < 1
                or <int64_t>flat[3 * k] + flat[3 * k + 2] > rows_i
                or <int64_t>flat[3 * k + 1] + flat[3 * k + 2] > rows_j):
            raise ValueError(f"run {k} reaches beyond the rows that there are")
    return <const pca_run *>&flat[0] if n else NULL


def copy_runs(const real[::1, :] src not None, real[::1, :] dst not None, run, int threads=1):
    """``dst[j:j + length, p] = src[i:i + length, p]`` for each run."""
    cdef const int32_t[::1] flat = run.view(np.int32)
    cdef const pca_run *runs = checked_runs(flat, src.shape[0], dst.shape[0])
    cdef int64_t n = flat.shape[0] // 3
    cdef pca_status status
    same_length(b"dst (elements)", dst.shape[1], src.shape[1])
    if n == 0 or src.shape[1] == 0:
        return
    with nogil:
        if real is float:
            status = pca_copy_runs_f32(&src[0, 0], src.shape[0], &dst[0, 0], dst.shape[0],
                                       src.shape[1], runs, n, threads)
        else:
            status = pca_copy_runs_f64(&src[0, 0], src.shape[0], &dst[0, 0], dst.shape[0],
                                       src.shape[1], runs, n, threads)
    check(status)


def g2(const real[::1, :] x not None, const real[::1, :] pending, run,
       const int64_t[::1] start not None, double sign, double[:, ::1] g2 not None,
       double[:, ::1] ip not None, double[:, ::1] fut not None, int threads=1):
    """Add ``sign`` times the sums of G2, IP and IF over the pairs of row runs.

    Parameters
    ----------
    x : (times, n) float32 or float64, Fortran order
    pending : (m, n) of the same dtype and order, or None
        Rows from `times` on in the runs are rows of this array.
    run, start : arrays of `find_runs`
    sign : float
        1 to add, -1 to take away.
    g2, ip, fut : (n, D) float64
        The sums, element by element: ``sum I(t) I(t+d)``, ``sum I(t)``, ``sum I(t+d)``
        (contract, section 1).
    """
    cdef const int32_t[::1] flat = run.view(np.int32)
    cdef Py_ssize_t k, split = x.shape[0], n = x.shape[1], d = start.shape[0] - 1
    cdef Py_ssize_t rows = split + (0 if pending is None else pending.shape[0])
    cdef pca_runs runs
    cdef pca_status status
    cdef const real *y = NULL
    cdef int64_t ld_y = 0
    runs.run = checked_runs(flat, rows, rows)
    for k in range(flat.shape[0] // 3):
        if (flat[3 * k] < split < flat[3 * k] + flat[3 * k + 2]
                or flat[3 * k + 1] < split < flat[3 * k + 1] + flat[3 * k + 2]):
            raise ValueError(f"run {k} crosses from x into pending")
    if start[0] != 0 or start[d] != flat.shape[0] // 3:
        raise ValueError("start does not fit the runs")
    for k in range(d):
        if start[k] > start[k + 1]:
            raise ValueError("start must not decrease")
    for name, array in (("g2", g2), ("ip", ip), ("fut", fut)):
        if array.shape[0] != n or array.shape[1] != d:
            raise ValueError(f"{name} has shape {array.shape[0]} x {array.shape[1]}, it should be {n} x {d}")
    if n == 0 or d == 0 or split == 0:
        return
    if pending is not None and pending.shape[0]:
        same_length(b"pending (elements)", pending.shape[1], n)
        y = &pending[0, 0]
        ld_y = pending.shape[0]
    runs.start = &start[0]
    runs.delays = d
    with nogil:
        if real is float:
            status = pca_g2_f32(&x[0, 0], split, y, ld_y, split, n, &runs, sign, &g2[0, 0],
                                &ip[0, 0], &fut[0, 0], threads)
        else:
            status = pca_g2_f64(&x[0, 0], split, y, ld_y, split, n, &runs, sign, &g2[0, 0],
                                &ip[0, 0], &fut[0, 0], threads)
    check(status)


def add_energy(const real[::1, :] x not None, int64_t rows, double[::1] energy not None,
               int threads=1):
    """``energy[p] += sum(x[:rows, p]**2)``, in float64."""
    cdef pca_status status
    same_length(b"energy", energy.shape[0], x.shape[1])
    if not 0 <= rows <= x.shape[0]:
        raise ValueError(f"rows is {rows}, there are {x.shape[0]}")
    if rows == 0 or x.shape[1] == 0:
        return
    with nogil:
        if real is float:
            status = pca_energy_f32(&x[0, 0], x.shape[0], rows, x.shape[1], &energy[0], threads)
        else:
            status = pca_energy_f64(&x[0, 0], x.shape[0], rows, x.shape[1], &energy[0], threads)
    check(status)


def is_whole(const real[::1, :] x not None):
    """Tell whether all values are whole numbers below 1e9."""
    cdef int32_t whole = 1
    if x.shape[0] == 0 or x.shape[1] == 0:
        return True
    with nogil:
        if real is float:
            pca_whole_f32(&x[0, 0], x.shape[0], x.shape[0], x.shape[1], &whole)
        else:
            pca_whole_f64(&x[0, 0], x.shape[0], x.shape[0], x.shape[1], &whole)
    return bool(whole)
