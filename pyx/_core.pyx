# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Bindings of the C core: validation, then one call without the GIL.

Arrays are taken as they are: a wrong dtype, a stride or a wrong length is an
error, never a silent copy.
"""

import numpy as np

from libc.stddef cimport size_t
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t

cdef extern from "parcorana.h" nogil:
    ctypedef enum pca_status:
        PCA_OK
        PCA_MORE
        PCA_BAD_LENGTH
        PCA_BAD_VALUE
        PCA_SHARED
    int32_t PCA_STAYS
    int PCA_PROCESSED
    int PCA_DUPLICATE
    int PCA_LATE
    int PCA_NEW_LATER
    int PCA_OLD_LATER
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
    pca_status pca_counters(const int64_t *, int64_t, int64_t, int64_t, int64_t, int64_t *)
    pca_status pca_admit(pca_events *, int64_t, const int64_t *, int64_t, int64_t, int8_t *,
                         int64_t *, int64_t *)
    pca_status pca_find_runs(const pca_events *, int64_t, const uint8_t *, const int64_t *, int64_t,
                             pca_run *, int64_t, int64_t *, int64_t *)
    pca_status pca_whole_f32(const float *, int64_t, int32_t, int32_t *)
    pca_status pca_whole_f64(const double *, int64_t, int32_t, int32_t *)
    pca_status pca_energy_f32(const float *, int64_t, int64_t, int64_t, int64_t, double *, double *,
                              int)
    pca_status pca_energy_f64(const double *, int64_t, int64_t, int64_t, int64_t, double *, double *,
                              int)

cdef extern from "correlate.h" nogil:
    int PCA_TILE
    int PCA_ONLY_G2
    int PCA_MASKED
    int PCA_DEFERRED
    int PCA_ENDS
    ctypedef struct pca_plan:
        int64_t length
        const pca_run *old
        int64_t n_old
        const int64_t *source "from"
        int64_t n_new
        const pca_run *fresh
        int64_t n_fresh
        const pca_run *keep
        int64_t n_keep
        int64_t begin
        int64_t end
        int64_t gone
        int32_t all_new
        int32_t mode
        int32_t defer
        const int64_t *shift
        const int64_t *column
        int64_t shifts
        const uint8_t *present
        const uint8_t *is_new
        const int64_t *missing
        const int64_t *new_first
        const int64_t *lo
        const int64_t *hi
        const pca_run *run
        const int64_t *start
        int64_t delays
        double sign
    ctypedef struct pca_arrays:
        void *x
        int64_t ld
        const void *block
        int64_t ld_block
        int64_t events
        int64_t elements
        double *g2
        double *ip
        double *fut
        double *total
        double *energy
    size_t pca_scratch(const pca_plan *, size_t)
    pca_status pca_correlate(const pca_plan *, const pca_arrays *, int, int, char *)
    void pca_count_shifts(const uint8_t *, const uint8_t *, int64_t, int64_t, int64_t,
                          const int64_t *, int64_t, int64_t *)
    pca_status pca_settle(const pca_plan *, const pca_arrays *, int, int, char *)

cdef extern from "colors.h" nogil:
    ctypedef struct pca_colors:
        const int64_t *group
        const int64_t *fine
        int64_t groups
        int64_t fines
        const double *counts
        int64_t delays
    size_t pca_colors_scratch(const pca_colors *, const pca_plan *, int, int)
    void pca_sum_colors(const pca_colors *, const pca_plan *, const pca_arrays *, int, int, char *, double *)

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
ONLY_G2 = PCA_ONLY_G2
MASKED = PCA_MASKED
DEFERRED = PCA_DEFERRED
ENDS = PCA_ENDS
NEW_LATER = PCA_NEW_LATER
OLD_LATER = PCA_OLD_LATER
_MOST = 1 << 30
RUN_DTYPE = np.dtype([("i", np.int32), ("j", np.int32), ("length", np.int32)])

ctypedef fused real:
    float
    double


def build_info():
    """Return ``{'compiler': str, 'openmp': int}`` of this build; openmp 0 is without."""
    return {"compiler": PCA_COMPILER.decode(), "openmp": PCA_OPENMP}


include "paths.pxi"
include "views.pxi"


cdef int check(pca_status status) except -1:
    if status == PCA_OK:
        return 0
    if status == PCA_BAD_LENGTH:
        raise ValueError("lengths do not fit together")
    if status == PCA_BAD_VALUE:
        raise ValueError("a value is out of its range")
    if status == PCA_SHARED:
        raise ValueError("a result lies in the memory of another one, or of what it is made of")
    raise MemoryError("an output array is too short")


cdef int same_length(const char *what, Py_ssize_t got, Py_ssize_t wanted) except -1:
    if got != wanted:
        raise ValueError(f"{what.decode()} has length {got}, it should be {wanted}")
    return 0


def counters(const int64_t[::1] stamp not None, Py_ssize_t first, Py_ssize_t rate_num, Py_ssize_t rate_den,
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
    expect_apart(("out", "stamp"), (out, stamp), 1)
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
          int32_t[::1] leave not None, Py_ssize_t head, Py_ssize_t tail, Py_ssize_t times,
          const int64_t[::1] entering not None, Py_ssize_t limit, int8_t[::1] fate not None,
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
    expect_apart(("counter", "row", "seq", "leave", "fate", "entered", "entering"),
                 (counter, row, seq, leave, fate, entered, entering), 6)
    with nogil:
        status = pca_admit(&ev, times, &entering[0], n, limit, &fate[0], &entered[0], &consumed)
    check(status)
    return ev.head, ev.tail, consumed


def find_runs(int64_t[::1] counter not None, int32_t[::1] row not None, int32_t[::1] seq not None,
              int32_t[::1] leave not None, Py_ssize_t first, Py_ssize_t tail,
              const uint8_t[::1] kinds not None, const int64_t[::1] delays not None):
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
    same_length(b"kinds", kinds.shape[0], n)
    if n == 0:
        return np.zeros(0, RUN_DTYPE), np.asarray(start), np.asarray(counts)
    while True:
        run = np.empty(capacity, RUN_DTYPE)
        flat = run.view(np.int32)
        with nogil:
            status = pca_find_runs(&ev, first, &kinds[0], &delays[0], n, <pca_run *>&flat[0],
                                   capacity, &start[0], &counts[0])
        if status != PCA_MORE:
            break
        capacity *= 4
    check(status)
    return run[:start[n]].copy(), np.asarray(start), np.asarray(counts)


cdef const pca_run *checked_runs(const char *what, run, Py_ssize_t *n, int64_t first_i,
                                 int64_t last_i, int64_t first_j, int64_t last_j) except? NULL:
    """Check that runs stay between their bounds; the caller keeps `run` alive."""
    cdef const int32_t[::1] flat = run.view(np.int32)
    cdef Py_ssize_t k
    cdef int64_t i, j, length
    n[0] = flat.shape[0] // 3
    for k in range(n[0]):
        i, j, length = flat[3 * k], flat[3 * k + 1], flat[3 * k + 2]
        if length < 0 or i < first_i or i + length > last_i or j < first_j or j + length > last_j:
            raise ValueError(f"run {k} of {what.decode()} reaches beyond what there is, or its length is below 0")
    return <const pca_run *>&flat[0] if n[0] else NULL


cdef const int64_t *checked(const char *what, array, int64_t length, int64_t low, int64_t high) except? NULL:
    """Check length and bounds (low <= value < high) of an int64 array; the caller keeps it alive."""
    cdef const int64_t[::1] values = array
    cdef Py_ssize_t k
    same_length(what, values.shape[0], length)
    for k in range(length):
        if not low <= values[k] < high:
            raise ValueError(f"{what.decode()}[{k}] is {values[k]}, it should be from {low} to {high - 1}")
    return &values[0] if length else NULL


cdef const uint8_t *checked_flags(const char *what, array, int64_t length) except? NULL:
    cdef const uint8_t[::1] flags = array
    same_length(what, flags.shape[0], length)
    return &flags[0] if length else NULL


cdef int check_backwards(const pca_plan *plan) except -1:
    """Check that the shifts are those of increasing delays, to earlier positions."""
    cdef Py_ssize_t k
    for k in range(plan.shifts):
        if plan.shift[k] > (0 if k == 0 else plan.shift[k - 1]):
            raise ValueError("shifts must be 0 or negative, and not increase")
    return 0


cdef int fill_missing(pca_plan *plan, lines) except -1:
    cdef Py_ssize_t k, d, n = len(lines.missing)
    plan.missing = checked(b"missing", lines.missing, n, -plan.length, plan.length)
    plan.new_first = checked(b"new_first", lines.new_first, 2, 0, n + 1)
    for k in range(plan.new_first[0], plan.new_first[1]):
        if plan.missing[k] < plan.begin or (k > plan.new_first[0] and plan.missing[k] <= plan.missing[k - 1]):
            raise ValueError("missing pulses among the new ones must increase and not lie before them")
    if plan.mode == PCA_ENDS:
        return 0
    plan.lo = checked(b"lo", lines.lo, plan.shifts, 0, n + 1)
    plan.hi = checked(b"hi", lines.hi, plan.shifts, 0, n + 1)
    for d in range(plan.shifts):
        for k in range(plan.lo[d], plan.hi[d]):
            if not plan.begin <= plan.missing[k] - plan.shift[d] < plan.end:
                raise ValueError("a missing pulse has no new event at this delay")
    return 0


cdef int fill_plan(pca_plan *plan, lines, int64_t times, int64_t rows, int64_t delays) except -1:
    """Check a `parcorana.correlate.lines.Plan` and describe it to C: nothing may reach beyond its memory."""
    cdef Py_ssize_t n = 0
    cdef Py_ssize_t k, length = lines.length, begin = lines.begin, end = lines.end
    cdef Py_ssize_t gone = lines.gone, new = len(lines.source)
    if not 0 <= length < 1 << 40:
        raise ValueError(f"length is {length}, it should be below 2**40")
    if not 0 <= begin <= end <= length:
        raise ValueError(f"begin {begin} and end {end} do not fit into a line of {length}")
    if gone and (not 0 <= gone <= begin or not lines.all_new or lines.mode != PCA_ONLY_G2):
        raise ValueError(f"gone is {gone}: what leaves lies before {begin}, and the mode is ONLY_G2")
    plan.length, plan.begin, plan.end, plan.gone = length, begin, end, gone
    plan.n_new = new
    plan.source = checked(b"source", lines.source, new, 0, rows)
    plan.old = checked_runs(b"old", lines.old, &n, 0, times, 0, length)
    plan.n_old = n
    if lines.all_new or len(lines.shift) == 0:
        plan.fresh = checked_runs(b"fresh", lines.fresh, &n, 0, new, 0, length)
    else:
        plan.fresh = checked_runs(b"fresh", lines.fresh, &n, 0, new, begin, end)
    plan.n_fresh = n
    plan.keep = checked_runs(b"keep", lines.keep, &n, 0, new, 0, times)
    plan.n_keep = n
    plan.all_new, plan.mode, plan.sign, plan.delays = lines.all_new, lines.mode, lines.sign, delays
    plan.defer = lines.defer
    plan.shifts = len(lines.shift)
    plan.shift = checked(b"shift", lines.shift, plan.shifts, -length, length + 1)
    plan.column = checked(b"column", lines.column, plan.shifts, 0, delays)
    plan.present = plan.is_new = NULL
    plan.missing = plan.new_first = plan.lo = plan.hi = NULL
    plan.run = NULL
    plan.start = NULL
    if lines.mode == PCA_MASKED and plan.shifts:
        plan.present = checked_flags(b"present", lines.present, length)
        plan.is_new = checked_flags(b"is_new", lines.is_new, end - begin)
    if plan.mode == PCA_DEFERRED and (plan.end != length or not plan.all_new):
        raise ValueError("in the mode DEFERRED the new events are the last ones")
    if plan.mode == PCA_ENDS and (begin != 0 or end != length):
        raise ValueError("the mode ENDS speaks of the whole line")
    if plan.mode == PCA_DEFERRED or plan.mode == PCA_ENDS:
        check_backwards(plan)
    elif plan.defer or lines.missing is not None:
        raise ValueError("only the modes DEFERRED and ENDS correct for missing pulses")
    if lines.missing is not None:
        fill_missing(plan, lines)
    if lines.start is not None:
        plan.run = checked_runs(b"run", lines.run, &n, 0, length, 0, length)
        plan.start = checked(b"start", lines.start, delays + 1, 0, n + 1)
        for k in range(delays):
            if plan.start[k] > plan.start[k + 1]:
                raise ValueError("start must not decrease")
    return 0


cdef double *doubles(const char *what, array, int64_t elements, int64_t delays) except? NULL:
    cdef double[:, ::1] two
    cdef double[::1] one
    if delays < 0:
        one = array
        same_length(what, one.shape[0], elements)
        return &one[0]
    two = array
    if two.shape[0] != elements or two.shape[1] != delays:
        raise ValueError(
            f"{what.decode()} has shape {two.shape[0]} x {two.shape[1]}, it should be {elements} x {delays}"
        )
    return &two[0, 0]


def store(lines, real[::1, :] x not None, const real[:, :] block not None, Py_ssize_t threads=1):
    """Put the new events of a plan into the storage, and nothing else."""
    cdef pca_plan plan
    cdef pca_arrays arrays
    cdef pca_status status
    cdef int workers
    cdef char[::1] scratch
    if len(lines.shift) or lines.start is not None:
        raise ValueError("a plan with pairs needs somewhere to put their sums")
    fill_plan(&plan, lines, x.shape[0], block.shape[0], 0)
    if x.shape[1] == 0 or plan.n_new == 0:
        return
    arrays.x, arrays.ld, arrays.elements = &x[0, 0], x.shape[0], x.shape[1]
    set_block[real](&arrays, block, x.shape[1])
    arrays.g2 = arrays.ip = arrays.fut = arrays.total = arrays.energy = NULL
    workers = useful(threads, arrays.elements)
    scratch = aligned(workers * pca_scratch(&plan, sizeof(real)))
    with nogil:
        status = pca_correlate(&plan, &arrays, sizeof(real) == 8, workers, &scratch[0])
    check(status)


cdef int set_block(pca_arrays *arrays, const real[:, :] block, Py_ssize_t elements) except -1:
    same_length(b"block (elements)", block.shape[1], elements)
    if block.strides[1] != sizeof(real) or block.strides[0] % <Py_ssize_t>sizeof(real) or block.strides[0] < 0:
        raise ValueError("block: the elements of an event must lie side by side")
    arrays.block, arrays.events = &block[0, 0], block.shape[0]
    arrays.ld_block = block.strides[0] // <Py_ssize_t>sizeof(real)
    return 0


def correlate(lines, real[::1, :] x not None, const real[:, :] block, g2, ip, fut,
              total=None, energy=None, Py_ssize_t threads=1):
    """Add the sums that a plan describes, and put its new events into the storage.

    Parameters
    ----------
    lines : parcorana.correlate.lines.Plan
    x : (times, n) float32 or float64, Fortran order
        Storage; rows of `lines.keep` are written.
    block : (m, n) of the same dtype, or None
        New events, the elements of each side by side.
    g2, ip, fut : (n, D) float64
        The sums, element by element: ``sum I(t) I(t+d)``, ``sum I(t)``, ``sum I(t+d)``
        (contract, section 1); `ip` and `fut` may be None if the mode is ONLY_G2, `g2` if it is ENDS.
    total : (n,) float64, for the mode DEFERRED
        The sum of the new values is added.
    energy : (n,) float64 or None
        The sum of their squares is added.
    threads : int

    Raises
    ------
    ValueError
        Lengths or shapes do not fit together.
    """
    cdef pca_plan plan
    cdef pca_arrays arrays
    cdef pca_status status
    cdef int workers
    cdef int64_t n = x.shape[1], delays
    cdef char[::1] scratch
    delays = (ip if g2 is None else g2).shape[1]
    if g2 is None and lines.mode != PCA_ENDS:
        raise ValueError("only in the mode ENDS may G2 be left out")
    fill_plan(&plan, lines, x.shape[0], 0 if block is None else block.shape[0], delays)
    if n == 0:
        return
    if plan.mode == PCA_DEFERRED and total is None:
        raise ValueError("the mode DEFERRED needs total")
    arrays.x, arrays.ld, arrays.elements = &x[0, 0], x.shape[0], n
    arrays.block = NULL
    arrays.ld_block = arrays.events = 0
    if plan.n_new:
        set_block[real](&arrays, block, n)
    arrays.g2 = NULL if g2 is None else doubles(b"g2", g2, n, delays)
    arrays.ip = arrays.fut = arrays.g2
    if plan.mode != PCA_ONLY_G2:
        arrays.ip, arrays.fut = doubles(b"ip", ip, n, delays), doubles(b"fut", fut, n, delays)
    arrays.total = NULL if total is None else doubles(b"total", total, n, -1)
    arrays.energy = NULL if energy is None else doubles(b"energy", energy, n, -1)
    workers = useful(threads, arrays.elements)
    scratch = aligned(workers * pca_scratch(&plan, sizeof(real)))
    with nogil:
        status = pca_correlate(&plan, &arrays, sizeof(real) == 8, workers, &scratch[0])
    check(status)


def scratch_each(Py_ssize_t length, Py_ssize_t span, Py_ssize_t new, Py_ssize_t shifts, bint all_new,
                 Py_ssize_t itemsize):
    """Return the bytes of scratch that each thread takes for a plan.

    Parameters
    ----------
    length : int
        Positions of the line.
    span : int
        Of these, those from the first new event to the last one.
    new : int
        New events.
    shifts : int
        Delays that are summed as shifted stretches.
    all_new : bool
        Whether no old event lies among the new ones.
    itemsize : int
        4 or 8.
    """
    cdef pca_plan plan
    cdef pca_colors colors
    plan.length, plan.begin, plan.end, plan.n_new = length, 0, span, new
    plan.shifts, plan.all_new = shifts, all_new
    colors.delays, colors.groups, colors.fines, colors.fine = shifts, 0, 0, NULL
    return max(pca_scratch(&plan, itemsize), pca_colors_scratch(&colors, &plan, itemsize == 8, 1))


cdef int useful(Py_ssize_t threads, int64_t elements) except -1:
    """Return so many of the threads as get a tile of elements; the others would take scratch for nothing."""
    if threads < 1:
        raise ValueError(f"threads is {threads}, it should be 1 or more")
    return <int>max(1, min(threads, (elements + PCA_TILE - 1) // PCA_TILE))


cdef aligned(size_t n):
    """Return n bytes that begin at a multiple of 64."""
    memory = np.empty(n + 64, np.int8)
    return memory[-memory.ctypes.data % 64:]


def settle(lines, const real[::1, :] x not None, ip not None, fut not None, total not None, Py_ssize_t threads=1):
    """Settle deferred sums with a line of the newest stored events; see `pca_settle` in csrc.

    Parameters
    ----------
    lines : parcorana.correlate.lines.Plan
    x : (times, n) float32 or float64, Fortran order
    ip, fut : (n, D) float64
    total : (n,) float64
        Becomes 0.
    threads : int
    """
    cdef pca_plan plan
    cdef pca_arrays arrays
    cdef pca_status status
    cdef int workers
    cdef int64_t n = x.shape[1], delays = ip.shape[1]
    cdef char[::1] scratch
    fill_plan(&plan, lines, x.shape[0], 0, delays)
    check_backwards(&plan)
    if n == 0 or delays == 0:
        return
    arrays.x, arrays.ld, arrays.elements = <void *>&x[0, 0], x.shape[0], n
    arrays.g2 = arrays.energy = NULL
    arrays.block = NULL
    arrays.ip, arrays.fut = doubles(b"ip", ip, n, delays), doubles(b"fut", fut, n, delays)
    arrays.total = doubles(b"total", total, n, -1)
    workers = useful(threads, arrays.elements)
    scratch = aligned(workers * pca_scratch(&plan, sizeof(real)))
    with nogil:
        status = pca_settle(&plan, &arrays, sizeof(real) == 8, workers, &scratch[0])
    check(status)


def sum_colors(g2 not None, ip, fut, const double[::1] counts not None, group, Py_ssize_t groups, fine,
               Py_ssize_t fines, Py_ssize_t threads=1):
    """Sum over the elements of each colour what delay curves are made of; see csrc/colors.h.

    Parameters
    ----------
    g2, ip, fut : (n, D) float64
    counts : (D,) float64
        Pairs of each delay; where there are none, `ip` and `fut` count as 0.
    group : (n,) int64
        Below `groups`; -1: in no sum.
    fine : (n,) int64 or None
        The same for `ip` and `fut`, below `fines`; None: each element's divide its own `g2`.
    threads : int

    Returns
    -------
    float64 array
        With `fine`: sums of g2 and g2^2 of each group, of ip, fut and ip fut of each fine group,
        (2 groups + 3 fines, D). Else, of each group, the excess of the ratio over 1, its square, the elements
        without one, and 1 / ip of those with one, (4 groups, D).
    """
    cdef pca_arrays arrays
    cdef pca_colors colors
    arrays.x = NULL
    arrays.ip, arrays.fut = doubles(b"ip", ip, len(g2), len(counts)), doubles(b"fut", fut, len(g2), len(counts))
    return sum_of_colors(g2, counts, group, groups, fine, fines, &colors, NULL, &arrays, 0, threads)


def sum_pending(lines, const real[::1, :] x not None, total, g2 not None, ip, fut,
                const double[::1] counts not None, group, Py_ssize_t groups, fine,
                Py_ssize_t fines, Py_ssize_t threads=1):
    """Do the same with what a plan adds to `ip` and `fut`, which stay as they are.

    Parameters
    ----------
    lines : parcorana.correlate.lines.Plan
        That of `settle`; or of `correlate` in the mode ENDS, and then `ip`, `fut` and `total` are None.
    x : (times, n) float32 or float64, Fortran order
    total : (n,) float64
    """
    cdef pca_plan plan
    cdef pca_arrays arrays
    cdef pca_colors colors
    cdef int64_t n = x.shape[1], delays = counts.shape[0]
    fill_plan(&plan, lines, x.shape[0], 0, delays)
    check_backwards(&plan)
    if plan.start != NULL:
        raise ValueError("a plan for the sums of colours has no runs of pairs")
    same_length(b"x (elements)", n, len(g2))
    arrays.x, arrays.ld = <void *>&x[0, 0], x.shape[0]
    arrays.block = NULL
    arrays.ld_block = 0
    if plan.mode == PCA_ENDS:
        arrays.ip = arrays.fut = arrays.total = NULL
    else:
        arrays.ip, arrays.fut = doubles(b"ip", ip, n, delays), doubles(b"fut", fut, n, delays)
        arrays.total = doubles(b"total", total, n, -1)
    return sum_of_colors(g2, counts, group, groups, fine, fines, &colors, &plan, &arrays, sizeof(real) == 8, threads)


cdef sum_of_colors(g2, const double[::1] counts, group, int64_t groups, fine, int64_t fines, pca_colors *colors,
                   const pca_plan *plan, pca_arrays *arrays, int is_double, Py_ssize_t threads):
    cdef int64_t n = len(g2)
    cdef int workers
    cdef double[::1] table
    cdef char[::1] scratch
    colors.delays, colors.groups, colors.fines = counts.shape[0], groups, fines
    colors.group = checked(b"group", group, n, -1, groups)
    colors.fine = NULL
    if fine is not None:
        colors.fine = checked(b"fine", fine, n, -1, fines)
    sums = np.zeros((4 * groups if fine is None else 2 * groups + 3 * fines, counts.shape[0]))
    if n == 0 or sums.size == 0:
        return sums
    colors.counts = &counts[0]
    arrays.g2, arrays.elements = doubles(b"g2", g2, n, colors.delays), n
    arrays.energy = NULL
    table = sums.reshape(-1)
    workers = useful(threads, n)
    scratch = aligned(pca_colors_scratch(colors, plan, is_double, workers))
    with nogil:
        pca_sum_colors(colors, plan, arrays, is_double, workers, &scratch[0], &table[0])
    return sums


def count_shifts(const uint8_t[::1] is_new not None, const uint8_t[::1] present not None,
                 Py_ssize_t begin, const int64_t[::1] shift not None):
    """Count, for each shift, the new positions whose partner is present.

    Parameters
    ----------
    is_new : (e,) uint8
        Of the positions from `begin` on.
    present : (length,) uint8
    begin : int
    shift : (k,) int64

    Returns
    -------
    (k,) int64
    """
    cdef int64_t[::1] count = np.zeros(shift.shape[0], np.int64)
    if begin < 0 or begin + is_new.shape[0] > present.shape[0]:
        raise ValueError("is_new reaches beyond present")
    if shift.shape[0] and is_new.shape[0]:
        with nogil:
            pca_count_shifts(&is_new[0], &present[0], present.shape[0], begin,
                             begin + is_new.shape[0], &shift[0], shift.shape[0], &count[0])
    return np.asarray(count)


def energy(const real[::1, :] x not None, Py_ssize_t rows, Py_ssize_t piece, double[::1] energy not None,
           double[::1] largest not None, Py_ssize_t threads=1):
    """``energy[p] = sum(x[:rows, p]**2)`` in float64, ``largest[p]`` that of the largest piece of rows."""
    cdef pca_status status
    cdef int workers = useful(threads, x.shape[1])
    same_length(b"energy", energy.shape[0], x.shape[1])
    same_length(b"largest", largest.shape[0], x.shape[1])
    if not 0 <= rows <= x.shape[0] or piece < 1:
        raise ValueError(f"rows is {rows}, there are {x.shape[0]}; piece is {piece}, it should be above 0")
    if x.shape[0] == 0 or x.shape[1] == 0:
        return
    expect_apart(("energy", "largest", "x"), (energy, largest, x), 2)
    with nogil:
        if real is float:
            status = pca_energy_f32(&x[0, 0], x.shape[0], rows, x.shape[1], piece, &energy[0], &largest[0], workers)
        else:
            status = pca_energy_f64(&x[0, 0], x.shape[0], rows, x.shape[1], piece, &energy[0], &largest[0], workers)
    check(status)


def is_whole(const real[:, :] x not None, Py_ssize_t most):
    """Tell whether all values are whole numbers from -most to most."""
    cdef int32_t whole = 1
    cdef Py_ssize_t k
    cdef pca_arrays arrays
    if not 0 <= most <= _MOST:
        raise ValueError(f"most is {most}, it should be from 0 to {_MOST}")
    if x.shape[0] == 0 or x.shape[1] == 0:
        return True
    set_block[real](&arrays, x, x.shape[1])
    with nogil:
        for k in range(x.shape[0]):
            if real is float:
                pca_whole_f32(&x[k, 0], x.shape[1], <int32_t>most, &whole)
            else:
                pca_whole_f64(&x[k, 0], x.shape[1], <int32_t>most, &whole)
    return bool(whole)
