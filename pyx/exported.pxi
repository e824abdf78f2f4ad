# What a user's own Cython module gets by cimport: no GIL, a status. Part of kernels.pyx.


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
