"""The kernels for other Cython modules: ``from parcorana.kernels cimport add_pairs_f32, check``.

docs/kernels.md says what each function does and shows how to call it. All but `check`,
`require_abi` and `import_kernels` run without the GIL and neither raise nor print: they
return a status, which `check` turns into an exception. Steps between values are counted in
values, not in bytes. A result that lies in the memory of another one, or of what it is made
of, is refused (PCA_SHARED); what is given may share memory. A module is compiled with ``parcorana.get_include()`` in its
`include_dirs` and calls `import_kernels()` once.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef extern from "parcorana/kernels.h" nogil:
    const int PARCORANA_KERNELS_ABI
    ctypedef enum pca_status:
        PCA_OK
        PCA_MORE
        PCA_BAD_LENGTH
        PCA_BAD_VALUE
        PCA_BAD_RUN
        PCA_REPEATED
        PCA_NO_MEMORY
        PCA_SHARED
    ctypedef struct pca_run:
        int32_t i
        int32_t j
        int32_t length

# Raises what a status means; needs no GIL.
cdef int check(pca_status status) except -1 nogil
cdef int require_abi(int compiled_for) except -1

# The runs of all pairs of rows (is_new NULL), or of those with at least one new row.
# start: delays + 1, counts: delays; PCA_MORE: run needs room for more than `capacity`.
cdef pca_status row_runs(const int64_t *T, int64_t rows, const uint8_t *is_new,
                         const int64_t *delay, int64_t delays, pca_run *run, int64_t capacity,
                         int64_t *start, int64_t *counts) noexcept nogil

# G2, IP and IF (any may be NULL) of the pairs of the runs, times `sign`: row i of element p is
# at x[i * x_row + p * x_element], delay d of it at G2[d * out_delay + p * out_element].
cdef pca_status add_pairs_f32(const pca_run *run, const int64_t *start, int64_t delays,
                              const float *x, int64_t rows, int64_t elements, int64_t x_row,
                              int64_t x_element, double *G2, double *IP, double *IF_,
                              int64_t out_delay, int64_t out_element, double sign,
                              int threads) noexcept nogil
cdef pca_status add_pairs_f64(const pca_run *run, const int64_t *start, int64_t delays,
                              const double *x, int64_t rows, int64_t elements, int64_t x_row,
                              int64_t x_element, double *G2, double *IP, double *IF_,
                              int64_t out_delay, int64_t out_element, double sign,
                              int threads) noexcept nogil

# The same with one series of `rows` values, the same for all elements, as the earlier value
# of each pair, or as the later one (series_is_future).
cdef pca_status add_cross_f32(const pca_run *run, const int64_t *start, int64_t delays,
                              const float *series, bint series_is_future,
                              const float *x, int64_t rows, int64_t elements, int64_t x_row,
                              int64_t x_element, double *G2, double *IP, double *IF_,
                              int64_t out_delay, int64_t out_element, double sign,
                              int threads) noexcept nogil
cdef pca_status add_cross_f64(const pca_run *run, const int64_t *start, int64_t delays,
                              const double *series, bint series_is_future,
                              const double *x, int64_t rows, int64_t elements, int64_t x_row,
                              int64_t x_element, double *G2, double *IP, double *IF_,
                              int64_t out_delay, int64_t out_element, double sign,
                              int threads) noexcept nogil

# out[i * out_row + g * out_group] += sum over the elements p of group g of row i; group < 0: in none.
cdef pca_status sum_groups_f32(const float *x, int64_t rows, int64_t elements, int64_t x_row,
                               int64_t x_element, const int32_t *group, int32_t groups,
                               double *out, int64_t out_row, int64_t out_group,
                               int threads) noexcept nogil
cdef pca_status sum_groups_f64(const double *x, int64_t rows, int64_t elements, int64_t x_row,
                               int64_t x_element, const int32_t *group, int32_t groups,
                               double *out, int64_t out_row, int64_t out_group,
                               int threads) noexcept nogil

# included[k] = frame[index[k]], and frame[index[k]] = included[k * step]; a frame has `size` values.
cdef pca_status gather_f32(const float *frame, int64_t size, const int64_t *index, int64_t n,
                           float *included) noexcept nogil
cdef pca_status gather_f64(const double *frame, int64_t size, const int64_t *index, int64_t n,
                           double *included) noexcept nogil
cdef pca_status scatter_f32(const float *included, int64_t step, const int64_t *index, int64_t n,
                            float *frame, int64_t size) noexcept nogil
cdef pca_status scatter_f64(const double *included, int64_t step, const int64_t *index, int64_t n,
                            double *frame, int64_t size) noexcept nogil


cdef inline int import_kernels() except -1:
    """Raise ImportError unless the installed kernels are those that this module was compiled for."""
    return require_abi(PARCORANA_KERNELS_ABI)
