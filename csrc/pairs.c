/* Pairs of rows: which there are, how to sum over them, and the threads around it. */
#include "pairs.h"
#include "threads.h"

#include <stdlib.h> /* qsort */
#include <string.h>

static const pca_pairs_functions *const functions[PCA_PATHS] = {
#if defined(__x86_64__)
    [PCA_V4] = &pca_pairs_v4,
    [PCA_V3] = &pca_pairs_v3,
    [PCA_V2] = &pca_pairs_v2,
#endif
    [PCA_GENERIC] = &pca_pairs_generic,
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Runs on average this long are summed along time: below, filling vectors costs more. */
enum { LONG = 128 };

static pca_view view_of(const pca_matrix *v, const pca_pairs *pairs, int64_t size)
{
    const int64_t elements = v->element ? pairs->elements : least(pairs->elements, 1);
    return (pca_view){v->values, {pairs->rows, elements}, {v->row * size, v->element * size}, size};
}

static int are_same(const pca_matrix *a, const pca_matrix *b)
{
    return a->values == b->values && a->row == b->row && a->element == b->element;
}

/* Whether a result lies in the memory of something else. */
static int is_tangled(const pca_pairs *pairs, int64_t size)
{
    double *const results[3] = {pairs->g2, pairs->ip, pairs->fut};
    pca_view view[7];
    int written = 0;
    for (int k = 0; k < 3; k++)
        if (results[k])
            view[written++] = (pca_view){results[k], {pairs->delays, pairs->elements},
                                         {pairs->delay * 8, pairs->element * 8}, 8};
    view[written] = view_of(&pairs->past, pairs, size);
    view[written + 1] = view_of(&pairs->future, pairs, size);
    view[written + 2] = (pca_view){pairs->start, {pairs->delays + 1, 1}, {8, 0}, 8};
    view[written + 3] = (pca_view){pairs->run, {pairs->delays ? pairs->start[pairs->delays] : 0, 1},
                                   {sizeof(pca_run), 0}, sizeof(pca_run)};
    return pca_tangled(view, written, written + 4, NULL);
}

pca_status pca_prepare_pairs(pca_pairs *pairs, int is_double)
{
    int64_t total = 0, last = 0, runs = 0;
    if (pairs->rows < 0 || pairs->elements < 0 || pairs->delays < 0)
        return PCA_BAD_LENGTH;
    if (pairs->delays && pairs->start[0] < 0)
        return PCA_BAD_LENGTH;
    for (int64_t d = 0; d < pairs->delays; d++) {
        if (pairs->start[d] > pairs->start[d + 1])
            return PCA_BAD_LENGTH;
        for (int64_t r = pairs->start[d]; r < pairs->start[d + 1]; r++) {
            const int64_t i = pairs->run[r].i, j = pairs->run[r].j, n = pairs->run[r].length;
            if (n < 0 || i < 0 || j < 0 || i + n > pairs->rows || j + n > pairs->rows)
                return PCA_BAD_RUN;
            if (n == 0) /* adds nothing, and changes no bit of what the others add */
                continue;
            runs++;
            total += n;
            last = i + n > last ? i + n : last;
            last = j + n > last ? j + n : last;
        }
    }
    if (is_tangled(pairs, is_double ? 8 : 4))
        return PCA_SHARED;
    pairs->span = last;
    pairs->same = are_same(&pairs->past, &pairs->future);
    if (total >= LONG * runs)
        pairs->how = PCA_LINES;
    else if (total < 2 * pairs->span)
        pairs->how = PCA_DIRECT;
    else
        pairs->how = PCA_PANELS;
    return PCA_OK;
}

static size_t scratch_each(const pca_pairs *pairs, int is_double)
{
    /* two packed copies of the rows; rows off powers of two, so that they share the cache */
    const size_t packed = (size_t)(pairs->span + 64) * PCA_MOST_IN_PANEL * (is_double ? 8 : 4);
    return (2 * packed + 4096) / 64 * 64;
}

size_t pca_pairs_scratch(const pca_pairs *pairs, int is_double, int threads)
{
    return pairs->how == PCA_DIRECT ? 64 : (size_t)threads * scratch_each(pairs, is_double) + 64;
}

/* Each thread has one stretch of elements, in whole panels. */
pca_status pca_add_pairs(const pca_pairs *pairs, int is_double, int threads, char *scratch)
{
    const size_t each = pairs->how == PCA_DIRECT ? 0 : scratch_each(pairs, is_double);
    const int64_t panels = (pairs->elements + PCA_MOST_IN_PANEL - 1) / PCA_MOST_IN_PANEL;
    char *const aligned = scratch + (64 - (uintptr_t)scratch % 64) % 64;
    pca_pairs_range *range;
    if (pairs->span == 0 || pairs->elements == 0)
        return PCA_OK;
    const pca_pairs_functions *const of_path = functions[pca_chosen()];
    range = is_double ? of_path->f64 : of_path->f32;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (pca_threads(threads) > 1)
    for (int k = 0; k < threads; k++) {
        const int64_t p0 = panels * k / threads * PCA_MOST_IN_PANEL;
        const int64_t p1 = least(panels * (k + 1) / threads * PCA_MOST_IN_PANEL, pairs->elements);
        if (p0 < p1)
            range(pairs, p0, p1, aligned + (size_t)k * each);
    }
    return PCA_OK;
}

typedef struct {
    int64_t counter;
    int32_t row;
} stamped;

static int by_counter(const void *a, const void *b)
{
    const int64_t x = ((const stamped *)a)->counter, y = ((const stamped *)b)->counter;
    return (x > y) - (x < y);
}

size_t pca_sort_scratch(int64_t rows)
{
    return (size_t)rows * sizeof(stamped);
}

pca_status pca_sort_rows(const int64_t *T, int64_t rows, const uint8_t *is_new, pca_events *ev,
                         void *scratch)
{
    stamped *const sorted = scratch;
    int64_t n = 0;
    if (rows < 0 || rows > INT32_MAX)
        return PCA_BAD_LENGTH;
    ev->capacity = rows;
    ev->head = ev->tail = 0;
    if (rows == 0)
        return PCA_OK;
    for (int64_t k = 0; k < rows; k++)
        if (T[k] != INT64_MIN) { /* unfilled rows have that */
            sorted[n].counter = T[k];
            sorted[n++].row = (int32_t)k;
        }
    qsort(sorted, (size_t)n, sizeof *sorted, by_counter);
    for (int64_t k = 0; k < n; k++) {
        if (k && sorted[k].counter == sorted[k - 1].counter)
            return PCA_REPEATED;
        ev->counter[k] = sorted[k].counter;
        ev->row[k] = sorted[k].row;
        ev->seq[k] = is_new == NULL || is_new[sorted[k].row] ? 0 : -1;
        ev->leave[k] = PCA_STAYS;
    }
    ev->tail = n;
    return PCA_OK;
}
