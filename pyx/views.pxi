# Which arrays share memory, in every module that writes to some.

from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer

cdef extern from "views.h" nogil:
    ctypedef struct pca_view:
        const void *first
        int64_t n[2]
        int64_t step[2]
        int64_t size
    int pca_tangled(const pca_view *, int, int, int *)

cdef enum:
    MOST_VIEWS = 8


cdef pca_view view_of(array) except *:
    """Return where an array lies; one of more than two dimensions must be contiguous."""
    cdef Py_buffer buffer
    cdef pca_view view
    cdef int k
    PyObject_GetBuffer(array, &buffer, PyBUF_STRIDES)
    view.first, view.size = buffer.buf, buffer.itemsize
    view.n[0] = view.n[1] = 1
    view.step[0] = view.step[1] = buffer.itemsize
    if buffer.ndim <= 2:
        for k in range(buffer.ndim):
            view.n[k], view.step[k] = buffer.shape[k], buffer.strides[k]
    else:
        view.n[0] = buffer.len // buffer.itemsize
    PyBuffer_Release(&buffer)
    return view


cdef int expect_apart(names, arrays, int written) except -1:
    """Check that the first `written` arrays, which take results, share no memory with each other nor with the rest."""
    cdef pca_view views[MOST_VIEWS]
    cdef int which[2]
    cdef int k, n = len(arrays)
    for k in range(n):
        views[k] = view_of(arrays[k])
    if not pca_tangled(views, written, n, which):
        return 0
    if which[0] == which[1]:
        raise ValueError(f"{names[which[0]]} has values that share memory: give the result an array of its own")
    raise ValueError(
        f"{names[which[0]]} lies in the memory of {names[which[1]]}: give the result an array of its own"
    )
