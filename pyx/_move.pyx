# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""From a detector's frames to the rows that travel, and from those to the storage's type.

What could reach beyond an array's memory is checked; the calls run without the GIL.
"""

import numpy as np

from cpython.buffer cimport PyBUF_WRITABLE
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free

cdef extern from "gather.h" nogil:
    ctypedef struct pca_receiver:
        void *rows
        int64_t ld
        int64_t first
        int64_t last
    ctypedef struct pca_sum:
        pass
    int32_t pca_can_cast(int, int)
    int32_t pca_can_sum(int)
    void pca_sums(const char *, int64_t, int64_t, int, int64_t, int64_t, const int64_t *, int64_t, pca_sum *)
    void pca_totals(const pca_sum *, int64_t, double *)
    int64_t pca_gather(const char *, int64_t, int64_t, int, const int64_t *, const pca_receiver *,
                       int64_t, int, int64_t, int, uint8_t *)
    void pca_adjust_f32(float *, int64_t, const int64_t *, int64_t, int64_t, float, int8_t *, float, int, int)
    void pca_adjust_f64(double *, int64_t, const int64_t *, int64_t, int64_t, double, int8_t *, double, int, int)
    void pca_widen(char *, int, int64_t, int, int64_t, int64_t, int64_t, int)

include "views.pxi"

#: The types of values that travel, in the order of csrc/gather.h; a type's place is its number on the wire.
TYPES = tuple(np.dtype(name) for name in ("i1", "u1", "i2", "u2", "f2", "i4", "u4", "f4", "i8", "u8", "f8"))
NUMBER = {dtype: k for k, dtype in enumerate(TYPES)} | {np.dtype(bool): 1}


include "photons.pxi"


def stretches(index):
    """Return increasing indexes as stretches: (s, 2) int64, first and length of each."""
    starts = np.flatnonzero(np.diff(index, prepend=-2) != 1)
    ends = np.append(starts[1:], len(index))
    return np.stack([index[starts], ends - starts], axis=1).astype(np.int64)


cdef class Target:
    """The rows of all receivers of one block, in one dtype.

    Parameters
    ----------
    rows : list of (m, w) arrays, C order, of one dtype in `TYPES`
        One for each receiver.
    parts : list of (s, 2) int64
        The elements of the frame that each receiver gets, as `stretches`.
    """

    cdef pca_receiver *receivers
    cdef const int64_t[:, ::1] stretch
    cdef int64_t most, size
    cdef int to
    cdef list rows

    def __cinit__(self, rows, parts):
        cdef Py_ssize_t k, at = 0
        cdef Py_buffer view
        self.receivers = <pca_receiver *>calloc(max(len(rows), 1), sizeof(pca_receiver))
        if self.receivers == NULL:
            raise MemoryError()
        if len({array.dtype for array in rows}) != 1 or len(parts) != len(rows):
            raise ValueError("rows must be of one dtype, one array for each part")
        self.to = NUMBER[rows[0].dtype]
        self.most = min(len(array) for array in rows)
        self.stretch = np.concatenate(parts)
        self.size = max((int(part.sum(axis=1).max()) for part in parts if len(part)), default=0)
        self.rows = list(rows)
        for k in range(len(rows)):
            array, part = rows[k], parts[k]
            if not array.flags.c_contiguous or part[:, 1].sum() > array.shape[1] or part.min(initial=0) < 0:
                raise ValueError("the elements of a part do not fit into its rows")
            PyObject_GetBuffer(array, &view, PyBUF_STRIDES | PyBUF_WRITABLE)
            self.receivers[k].rows = view.buf  # kept alive by self.rows
            PyBuffer_Release(&view)
            self.receivers[k].ld = array.shape[1]
            self.receivers[k].first = at
            at += len(part)
            self.receivers[k].last = at

    def __dealloc__(self):
        free(self.receivers)

    def take(self, frames, Py_ssize_t row, uint8_t[::1] bad not None, bint check):
        """Write the elements of frames into the rows from `row` on.

        Parameters
        ----------
        frames : (m, size) array of a dtype in `TYPES`
            The elements of each frame side by side.
        row : int
        bad : (m,) uint8
            Set to 1 for frames that have values that are not finite, as
            written: those get no row.
        check : bool
            Whether to look for such values; else all get rows.

        Returns
        -------
        int
            The next free row.
        """
        cdef int source = NUMBER[frames.dtype]
        cdef int64_t m = frames.shape[0], n = len(self.rows)
        cdef Py_buffer view
        if m == 0:
            return row
        if (frames.ndim != 2 or frames.shape[1] < self.size
                or (frames.strides[1] != frames.itemsize and frames.shape[1] > 1)):
            raise ValueError("frames must have the mask's elements side by side")
        if not 0 <= row <= self.most - m or bad.shape[0] != m:
            raise ValueError(f"{m} frames do not fit in from row {row} of {self.most} on")
        if not pca_can_cast(source, self.to):
            raise ValueError(f"{frames.dtype} is not cast to {self.rows[0].dtype}")
        PyObject_GetBuffer(frames, &view, PyBUF_STRIDES)
        with nogil:
            row = pca_gather(<const char *>view.buf, view.strides[0], m, source,
                             &self.stretch[0, 0] if self.stretch.shape[0] else NULL, self.receivers, n,
                             self.to, row, check, &bad[0])
        PyBuffer_Release(&view)
        return row


def sums(pieces, const int64_t[:, ::1] stretch not None):
    """Return the sum of the same elements of each of some frames.

    Integers are added up exactly; of floats the rounding depends on the place
    of the elements alone, not on how frames come in pieces.

    Parameters
    ----------
    pieces : list of (m, k) arrays of a dtype in `TYPES`, but float16
        The elements of each frame, side by side, in pieces one after the other.
    stretch : (s, 2) int64
        The elements to add up, as `stretches`.

    Returns
    -------
    (m,) float64
    """
    cdef int64_t m = pieces[0].shape[0], first = 0, size, count = stretch.shape[0], last = 0
    cdef Py_ssize_t k
    cdef int kind
    cdef Py_buffer view
    cdef pca_sum *parts
    for k in range(count):
        if stretch[k, 0] < last or stretch[k, 1] < 1:
            raise ValueError("stretches must increase")
        last = stretch[k, 0] + stretch[k, 1]
    totals = np.zeros(m)
    if m == 0:  # whose strides say nothing
        return totals
    cdef double[::1] total = totals
    for array in pieces:
        if array.ndim != 2 or array.shape[0] != m or (array.strides[1] != array.itemsize and array.shape[1] > 1):
            raise ValueError("pieces must have the elements of the same frames side by side")
        if not pca_can_sum(NUMBER[array.dtype]):
            raise ValueError(f"{array.dtype} is not added up")
        first += array.shape[1]
    if last > first:
        raise ValueError(f"frames of {first} elements have no element {last - 1}")
    if count == 0:
        return totals
    parts = <pca_sum *>calloc(m, sizeof(pca_sum))
    if parts == NULL:
        raise MemoryError()
    first = 0
    try:
        for array in pieces:
            kind, size = NUMBER[array.dtype], array.shape[1]
            PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
            with nogil:
                pca_sums(<const char *>view.buf, view.strides[0], m, kind, first, size, &stretch[0, 0], count, parts)
            PyBuffer_Release(&view)
            first += size
        pca_totals(parts, m, &total[0])
    finally:
        free(parts)
    return totals


cdef int workers_of(Py_ssize_t threads) except -1:
    if threads < 1:
        raise ValueError(f"threads is {threads}, it should be 1 or more")
    return <int>min(threads, 4096)


def widen(memory, rows, wide, Py_ssize_t elements, Py_ssize_t threads=1):
    """Cast rows in place.

    Parameters
    ----------
    memory : (b,) uint8
        Where both `rows` and `wide` begin.
    rows : (m, w) array of a dtype in `TYPES`, C order
    wide : (m, v) array of a dtype at least twice as large, C order
    elements : int
        Of each row; what lies beyond them is padding.
    threads : int

    Raises
    ------
    ValueError
        They do not lie so, or there is no such cast (float16 has none).
    """
    cdef int source = NUMBER[rows.dtype], to = NUMBER[wide.dtype]
    cdef int64_t m = rows.shape[0], ld = rows.shape[1], ld_to = wide.shape[1]
    cdef uint8_t[::1] place = memory
    cdef int workers = workers_of(threads)
    if wide.shape[0] != m or not 0 <= elements <= min(ld, ld_to) or not pca_can_cast(source, to):
        raise ValueError(f"{rows.dtype} {rows.shape} does not become {wide.dtype} {wide.shape}")
    if 2 * ld * rows.itemsize > ld_to * wide.itemsize or m * ld_to * wide.itemsize > place.shape[0]:
        raise ValueError("rows in place must become twice as long, and stay within their memory")
    if m and not view_of(rows).first == view_of(wide).first == <const void *>&place[0]:
        raise ValueError("rows and wide must begin where the memory does")
    if m and elements:
        with nogil:
            pca_widen(<char *>&place[0], source, ld, to, ld_to, m, elements, workers)


ctypedef fused real:
    float
    double


def adjust(real[:, :] rows not None, const int64_t[::1] which not None, saturated, int8_t[::1] marks not None,
           least, Py_ssize_t threads=1):
    """Mark saturated elements, then raise small values.

    Parameters
    ----------
    rows : (m, n) float32 or float64
        The elements of a row side by side.
    which : (k,) int64
        The rows to look at.
    saturated : float or None
        ``marks[p] = 1`` where any of them is at least this.
    marks : (n,) int8
    least : float or None
        Smaller values are set to this.
    threads : int
    """
    cdef Py_ssize_t k, n = rows.shape[1]
    cdef int8_t *at = NULL
    cdef real *value
    cdef real high = 0 if saturated is None else saturated, low = 0 if least is None else least
    cdef int raises = least is not None, workers = workers_of(threads)
    cdef int64_t ld = rows.strides[0] // <Py_ssize_t>sizeof(real)
    expect_apart(("rows", "marks", "which"), (rows, marks, which), 2)
    if marks.shape[0] != n or (n > 1 and rows.strides[1] != sizeof(real)) or rows.strides[0] % sizeof(real):
        raise ValueError("rows must have the elements of marks side by side")
    for k in range(which.shape[0]):
        if not 0 <= which[k] < rows.shape[0]:
            raise ValueError(f"there is no row {which[k]} in {rows.shape[0]}")
    if which.shape[0] == 0 or n == 0:
        return
    if saturated is not None:
        at = &marks[0]
    value = &rows[0, 0]
    with nogil:
        if real is float:
            pca_adjust_f32(value, ld, &which[0], which.shape[0], n, high, at, low, raises, workers)
        else:
            pca_adjust_f64(value, ld, &which[0], which.shape[0], n, high, at, low, raises, workers)
