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
    void pca_elements_f32(const size_t *, const int64_t *, int64_t, const int64_t *, const int64_t *, int64_t,
                          float *, double *, double *)
    void pca_elements_f64(const size_t *, const int64_t *, int64_t, const int64_t *, const int64_t *, int64_t,
                          double *, double *, double *)

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
        const int64_t *source
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

cdef extern from "multitau.h" nogil:
    ctypedef struct pca_levels:
        int64_t levels
        int64_t channels
        int64_t delays
        const int64_t *lag
        const int64_t *first
        int8_t *present
        int64_t *frontier
        int8_t *begun
        int64_t *counts
    ctypedef struct pca_series:
        const size_t *rows
        int64_t elements
        void *history
        double *total
        double *g2
        double *ip
        double *fut
    size_t pca_pass_size(const pca_levels *)
    size_t pca_multitau_scratch(const pca_levels *, size_t)
    pca_status pca_multitau(const pca_levels *, const pca_series *, const int64_t *, int64_t, int, int, void *, char *)

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


include "rows.pxi"


include "plans.pxi"


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
    lines : parcorana.correlation.plan.Plan
    x : (times, n) float32 or float64, Fortran order
        Storage; rows of `lines.keep` are written.
    block : (m, n) of the same dtype, or None
        New events, the elements of each side by side.
    g2, ip, fut : (n, D) float64
        The sums, element by element: ``sum I(t) I(t+d)``, ``sum I(t)``, ``sum I(t+d)``
        (docs/definitions.md); `ip` and `fut` may be None if the mode is ONLY_G2, `g2` if it is ENDS.
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
    lines : parcorana.correlation.plan.Plan
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


include "sums.pxi"


include "leverage.pxi"


include "values.pxi"


include "multitau.pxi"


include "counting.pxi"
