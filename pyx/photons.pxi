# Frames of counted photons, for servers and for users.

cdef extern from "photons.h" nogil:
    ctypedef struct pca_finder:
        int64_t segments
        int64_t rows
        int64_t columns
        double photon
        double threshold
        int64_t most
        int apart
        int check
        const uint8_t *mask
    int PCA_FOUND
    int32_t pca_can_find(int)
    int64_t pca_find_scratch(int64_t)
    void pca_find(const pca_finder *, const char *, int64_t, int64_t, int, char *, int, int64_t *, uint8_t *, void *)

#: What was found in a frame, in the order of csrc/photons.h.
FOUND = ("events", "photons", "droplets", "left_out", "left_out_photons", "largest", "largest_at")
#: What becomes of a frame.
COUNTED, BROKEN, WIDE = range(3)


cdef class Finder:
    """Finds the photons of frames.

    Parameters
    ----------
    mask : bool array of the frame's shape
        Elements of the last two axes are neighbours; all others are segments.
    photon, threshold : float
        Above 0.
    most : int or None
        Droplets of more photons are left out.
    apart : bool
        Whether every element is a droplet of its own.
    check : bool
        Whether frames are to be told that have included elements which are not finite.
    """

    cdef pca_finder finder
    cdef const uint8_t[::1] mask
    cdef int64_t elements
    cdef char[::1] scratch

    def __cinit__(self, mask, double photon, double threshold, most, bint apart, bint check):
        if not photon > 0 or not threshold > 0:
            raise ValueError("photon and threshold must be above 0")
        self.mask = np.array(mask, np.uint8).ravel()
        columns = mask.shape[mask.ndim - 1]
        rows = mask.shape[mask.ndim - 2] if mask.ndim > 1 else 1
        self.elements = self.mask.shape[0]
        if not 0 < rows * columns < 1 << 31:
            raise ValueError(f"a segment of {rows} x {columns} elements has none, or too many")
        self.finder.rows, self.finder.columns = rows, columns
        self.finder.segments = self.elements // (rows * columns)
        self.finder.photon, self.finder.threshold = photon, threshold
        self.finder.most = (1 << 62) if most is None else most
        self.finder.apart, self.finder.check = apart, check
        self.finder.mask = &self.mask[0]
        # pages that are not written to take no memory, so few bright elements take little
        self.scratch = np.empty(pca_find_scratch(rows * columns), np.int8)

    def find(self, frames, counts):
        """Count the photons of frames.

        Parameters
        ----------
        frames : (m, size) array of a dtype in `TYPES`, but float16
            The elements of each frame side by side.
        counts : (m, size) uint8 or uint16, C order
            Is overwritten.

        Returns
        -------
        found : (m, 7) int64
            As `FOUND`.
        fate : (m,) uint8
            `COUNTED`, or why the counts of a frame mean nothing: `BROKEN`, an included element is not finite; `WIDE`,
            an element has more photons than the dtype of counts holds.
        """
        cdef int kind = NUMBER[frames.dtype], wide = counts.itemsize - 1
        cdef int64_t m = frames.shape[0]
        cdef Py_buffer view, to
        if (frames.ndim != 2 or frames.shape[1] != self.elements
                or (frames.strides[1] != frames.itemsize and frames.shape[1] > 1) or not frames.flags.aligned):
            raise ValueError("frames must have the mask's elements side by side")
        if not pca_can_find(kind):
            raise ValueError(f"photons are not found in {frames.dtype}")
        if counts.dtype not in (np.uint8, np.uint16) or counts.shape != frames.shape or not counts.flags.c_contiguous:
            raise ValueError("counts must be uint8 or uint16, of the shape of the frames, in C order")
        found, fate = np.zeros((m, PCA_FOUND), np.int64), np.zeros(m, np.uint8)
        if m == 0:
            return found, fate
        cdef int64_t[:, ::1] numbers = found
        cdef uint8_t[::1] fates = fate
        expect_apart(("counts", "frames"), (counts, frames), 1)
        PyObject_GetBuffer(frames, &view, PyBUF_STRIDES)
        PyObject_GetBuffer(counts, &to, PyBUF_STRIDES | PyBUF_WRITABLE)
        with nogil:
            pca_find(&self.finder, <const char *>view.buf, view.strides[0], m, kind, <char *>to.buf, wide,
                     &numbers[0, 0], &fates[0], &self.scratch[0])
        PyBuffer_Release(&to)
        PyBuffer_Release(&view)
        return found, fate
