# Numbers of photons of elements. Part of _core.pyx.

cdef extern from "counting.h" nogil:
    int PCA_COUNT_EVENTS
    int PCA_COUNT_LEVELS
    int PCA_COUNT_KMAX
    int PCA_COUNT_STRIP
    ctypedef struct pca_kept:
        int64_t frame
        uint8_t *to
    ctypedef struct pca_counting:
        const size_t *row
        int64_t events
        int64_t elements
        double photon
        double threshold
        int64_t levels
        const int64_t *first
        const int32_t *slot
        const int64_t *left
        const int64_t *right
        const int64_t *last
        int32_t *pending
        const pca_kept *kept
        int64_t n_kept
        const int64_t *number
        const int64_t *spoilt
        const int32_t *color
        int64_t colors
        int64_t slots
        int64_t kmax
    ctypedef struct pca_counted:
        int64_t *counts
        int64_t *photons
        int64_t *sums
        int64_t *number
        int64_t *whole
    size_t pca_counting_scratch(const pca_counting *)
    void pca_count(const pca_counting *, const pca_counted *, int, int, char *)

_KEPT = np.dtype([("frame", np.int64), ("to", np.uintp)])


def count_photons(rows, numbers, bint is_double, windows, about, color, Py_ssize_t colors, pending, to_keep, kept,
                  spoilt, counts, photons, sums, number, Py_ssize_t threads):
    """Count the photons of events and of the windows that they complete; see csrc/counting.h.

    Parameters
    ----------
    rows, numbers : (m,) uintp, int64
        Of each event the address of its n elements, and when it was processed; 128 at the most.
    is_double : bool
        Whether the elements are float64, not float32.
    windows : parcorana.photons.windows.Windows
    about : parcorana.photons.parameters.About
    color : (n,) int32
    colors : int
    pending : (L - 1, n) int32
        First halves of windows; is changed.
    to_keep : (k, 3) int64
        Slot, place and frame.
    kept : (S, places, n) uint8
    spoilt : (n,) int64 or None
        From which event on an element counts no more.
    counts, photons : (S, C, kmax + 2), (S, C) int64
        Are added to.
    sums, number : (m, C) int64
        Are added to.
    threads : int
    """
    cdef pca_counting c
    cdef pca_counted out
    cdef int64_t m = len(rows), n = len(color), levels = about.levels
    cdef const size_t[::1] row = rows
    cdef const int64_t[::1] when = numbers, first = windows.first
    cdef const int64_t[::1] left = windows.left, right = windows.right
    cdef const int64_t[::1] last = np.r_[windows.last, -1], is_spoilt
    cdef const int32_t[::1] slot = about.slots, which = color
    cdef int32_t[:, ::1] waiting = pending
    cdef int64_t[:, :, ::1] table = counts
    cdef int64_t[:, ::1] total = photons, of_event = sums, elements = number
    cdef uint8_t[:, :, ::1] store = kept
    cdef char[::1] scratch
    cdef int workers
    if not 0 < m <= PCA_COUNT_EVENTS or not 0 < levels <= PCA_COUNT_LEVELS or not 0 < about.kmax <= PCA_COUNT_KMAX:
        raise ValueError("so many events, exposures or photons are not counted at once")
    if n == 0:
        return
    moved = np.zeros(len(to_keep) + 1, _KEPT)
    moved["frame"][:len(to_keep)] = to_keep[:, 2]
    moved["to"][:len(to_keep)] = kept.ctypes.data + to_keep[:, 0] * kept.strides[0] + to_keep[:, 1] * kept.strides[1]
    cdef size_t where = moved.ctypes.data
    c.row, c.number, c.events, c.elements = &row[0], &when[0], m, n
    c.photon, c.threshold, c.kmax = about.photon, about.threshold, about.kmax
    c.levels, c.first, c.slot, c.last = levels, &first[0], &slot[0], &last[0]
    c.left, c.right = &left[0], &right[0]
    c.pending = &waiting[0, 0] if levels > 1 else NULL
    c.kept, c.n_kept = <const pca_kept *>where, len(to_keep)
    c.spoilt = NULL
    if spoilt is not None:
        is_spoilt = spoilt
        c.spoilt = &is_spoilt[0]
    c.color, c.colors, c.slots = &which[0], colors, table.shape[0]
    if colors == 0:
        return
    out.counts, out.photons, out.sums, out.number = &table[0, 0, 0], &total[0, 0], &of_event[0, 0], &elements[0, 0]
    workers = <int>max(1, min(threads, n // PCA_COUNT_STRIP))
    scratch = np.zeros(workers * pca_counting_scratch(&c), np.int8)
    with nogil:
        pca_count(&c, &out, is_double, workers, &scratch[0])
