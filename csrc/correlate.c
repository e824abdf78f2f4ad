/* The functions of the code path in use, and the threads around them. */
#include "correlate.h"
#include "threads.h"

#include "views.h"

static const pca_correlate_functions *const functions[PCA_PATHS] = {
#if defined(__x86_64__)
    [PCA_V4] = &pca_correlate_v4,
    [PCA_V3] = &pca_correlate_v3,
    [PCA_V2] = &pca_correlate_v2,
#endif
    [PCA_GENERIC] = &pca_correlate_generic,
};

pca_correlate_range *pca_range(int what, int is_double)
{
    const pca_correlate_functions *const of_path = functions[pca_chosen()];
    if (what == PCA_SETTLE)
        return is_double ? of_path->settle_f64 : of_path->settle_f32;
    return is_double ? of_path->f64 : of_path->f32;
}

/* Bytes of scratch that each thread needs for a plan. */
size_t pca_scratch(const pca_plan *plan, size_t itemsize)
{
    const size_t lanes = PCA_VECTOR / itemsize, length = (size_t)plan->length;
    const size_t span = (size_t)(plan->end - plan->begin), n = (size_t)plan->n_new;
    const size_t vectors = length + 4 * PCA_STRIP + (plan->all_new ? 0 : span);
    /* and 64 bytes for each panel, of which there are most where vectors are short */
    const size_t tile = PCA_TILE * itemsize * (n + 4);
    const size_t scalars = length + span + 4 * PCA_STRIP;
    const size_t sums = 3 * (size_t)plan->shifts * lanes * sizeof(double);
    return (vectors * PCA_VECTOR + tile + scalars * itemsize + sums) / 4096 * 4096 + 2 * 4096;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Each thread has one stretch of elements, in whole tiles: which thread does an element
 * changes neither its sums nor their order. */
static pca_status in_threads(pca_correlate_range *range, const pca_plan *plan,
                             const pca_arrays *arrays, size_t itemsize, int threads, char *scratch)
{
    const size_t each = pca_scratch(plan, itemsize);
    const int64_t tiles = (arrays->elements + PCA_TILE - 1) / PCA_TILE;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (pca_threads(threads) > 1)
    for (int k = 0; k < threads; k++) {
        const int64_t p0 = tiles * k / threads * PCA_TILE;
        const int64_t p1 = least(tiles * (k + 1) / threads * PCA_TILE, arrays->elements);
        if (p0 < p1)
            range(plan, arrays, p0, p1, scratch + (size_t)k * each);
    }
    return PCA_OK;
}

/* Whether what is written lies in the memory of something else. */
static int is_tangled(const pca_plan *plan, const pca_arrays *arrays, int has_both, int64_t size)
{
    const int64_t n = arrays->elements, table = n * plan->delays;
    pca_view view[7];
    int written = 0, views;
    if (arrays->g2)
        view[written++] = (pca_view){arrays->g2, {table, 1}, {8, 0}, 8};
    if (has_both) {
        view[written++] = (pca_view){arrays->ip, {table, 1}, {8, 0}, 8};
        view[written++] = (pca_view){arrays->fut, {table, 1}, {8, 0}, 8};
    }
    if (arrays->total)
        view[written++] = (pca_view){arrays->total, {n, 1}, {8, 0}, 8};
    if (arrays->energy)
        view[written++] = (pca_view){arrays->energy, {n, 1}, {8, 0}, 8};
    views = written;
    view[views++] = (pca_view){arrays->x, {arrays->ld, n}, {size, arrays->ld * size}, size};
    if (plan->n_keep)
        written++;
    if (arrays->block)
        view[views++] = (pca_view){arrays->block, {n, arrays->events}, {size, arrays->ld_block * size}, size};
    return pca_tangled(view, written, views, NULL);
}

pca_status pca_correlate(const pca_plan *plan, const pca_arrays *arrays, int is_double,
                         int threads, char *scratch)
{
    if (is_tangled(plan, arrays, plan->mode != PCA_ONLY_G2, is_double ? 8 : 4))
        return PCA_SHARED;
    return in_threads(pca_range(PCA_CORRELATE, is_double), plan, arrays, is_double ? 8 : 4, threads, scratch);
}

pca_status pca_settle(const pca_plan *plan, const pca_arrays *arrays, int is_double, int threads,
                      char *scratch)
{
    if (is_tangled(plan, arrays, 1, is_double ? 8 : 4))
        return PCA_SHARED;
    return in_threads(pca_range(PCA_SETTLE, is_double), plan, arrays, is_double ? 8 : 4, threads, scratch);
}

/* count[k] = positions of begin <= t < end that are new and whose partner at shift[k] is present */
void pca_count_shifts(const uint8_t *is_new, const uint8_t *present, int64_t length,
                      int64_t begin, int64_t end, const int64_t *shift, int64_t shifts,
                      int64_t *count)
{
    for (int64_t k = 0; k < shifts; k++) {
        const int64_t s = shift[k];
        const int64_t first = begin + s < 0 ? -s : begin;
        const int64_t last = end + s > length ? length - s : end;
        int64_t sum = 0;
        for (int64_t t = first; t < last; t++)
            sum += is_new[t - begin] & present[t + s];
        count[k] = sum;
    }
}
