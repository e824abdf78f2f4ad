#include "leverage_impl.h"
#include "threads.h"

#include <math.h>
#include <string.h>

static double find_generic(const pca_leverage *c, int64_t group, const double *restrict g2, const double *restrict ip,
                           const double *restrict fut, double *restrict change, double *restrict sum,
                           double *restrict square)
{
    return find_by_any(c, group, g2, ip, fut, change, sum, square);
}

static pca_find_changes *chosen(void)
{
#if defined(__x86_64__)
    if (pca_chosen() <= PCA_V3)
        return pca_find_changes_v3;
#endif
    return find_generic;
}

/* Put an element into its place in the list of its colour, if it has one there. */
static void list(const pca_leverage *c, const pca_pulls *pulls, int64_t color, int64_t element, double score,
                 const double *change)
{
    const int64_t n = c->delays, first = color * c->most;
    int64_t k = first + c->most - 1;
    if (!(score > pulls->score[k]))
        return;
    for (; k > first && score > pulls->score[k - 1]; k--) {
        pulls->score[k] = pulls->score[k - 1];
        pulls->element[k] = pulls->element[k - 1];
        memcpy(pulls->change + k * n, pulls->change + (k - 1) * n, (size_t)n * sizeof(double));
    }
    pulls->score[k] = score;
    pulls->element[k] = element;
    memcpy(pulls->change + k * n, change, (size_t)n * sizeof(double));
}

/* Note the change at the first of the delays where it counts most. */
static void note_largest(const pca_leverage *c, const pca_pulls *pulls, int64_t p, int64_t group, float score,
                         const double *change)
{
    const double *const weight = c->weight + group * c->delays;
    int64_t d = 0;
    while (d < c->delays - 1 && !((float)(fabs(change[d]) * weight[d]) >= score))
        d++;
    pulls->largest[p] = change[d];
    pulls->delay[p] = (int32_t)d;
}

static void find_part(const pca_leverage *c, const pca_plan *plan, const pca_arrays *arrays, int is_double, int64_t p0,
                      int64_t p1, char *scratch, double *values, double *change, const pca_pulls *pulls)
{
    const int64_t n = c->delays;
    pca_find_changes *const find = chosen();
    for (int64_t p = p0; p < p1; p += PCA_COLOR_TILE) {
        const int64_t count = p1 - p < PCA_COLOR_TILE ? p1 - p : PCA_COLOR_TILE;
        const double *ip = plan ? values : arrays->ip + p * n;
        const double *fut = plan ? values + PCA_COLOR_TILE * n : arrays->fut + p * n;
        if (plan)
            pca_sum_aside(plan, arrays, is_double, p, count, values, scratch);
        for (int64_t k = 0; k < count; k++) {
            const int64_t group = c->group[p + k], color = group < 0 ? 0 : c->color[group];
            if (group < 0)
                continue;
            const double *const g2 = arrays->g2 + (p + k) * n;
            const float score = (float)find(c, group, g2, ip + k * n, fut + k * n, change, pulls->sum + color * n,
                                            pulls->square + color * n);
            list(c, pulls, color, p + k, (double)score, change);
            if (pulls->largest)
                note_largest(c, pulls, p + k, group, score, change);
        }
    }
}

/* A thread's memory: what the plan needs, IP and IF of a tile and its deferred sums, the changes of an element; its own
 * sums, squares, scores, elements and changes. */
static size_t of_plan(const pca_plan *plan, int is_double)
{
    return plan ? (pca_scratch(plan, is_double ? 8 : 4) + 7) / 8 * 8 : 0;
}

static int64_t of_tile(const pca_leverage *c, const pca_plan *plan)
{
    return plan ? 2 * PCA_COLOR_TILE * c->delays + PCA_COLOR_TILE : 0;
}

static size_t of_thread(const pca_leverage *c, const pca_plan *plan, int is_double)
{
    const int64_t lists = 2 * c->colors * c->delays + c->colors * c->most * (2 + c->delays);
    const size_t numbers = (size_t)(of_tile(c, plan) + c->delays + lists);
    return (of_plan(plan, is_double) + numbers * sizeof(double) + 63) / 64 * 64;
}

size_t pca_leverage_scratch(const pca_leverage *levers, const pca_plan *plan, int is_double, int threads)
{
    return of_thread(levers, plan, is_double) * (size_t)threads;
}

/* The lists of a thread but the first, which has those of the result. */
static pca_pulls own_pulls(const pca_leverage *c, const pca_pulls *pulls, double *memory)
{
    pca_pulls own = *pulls;
    own.sum = memory;
    own.square = own.sum + c->colors * c->delays;
    own.score = own.square + c->colors * c->delays;
    own.element = (int64_t *)(void *)(own.score + c->colors * c->most);
    own.change = own.score + 2 * c->colors * c->most;
    return own;
}

void pca_find_pulls(const pca_leverage *levers, const pca_plan *plan, const pca_arrays *arrays, int is_double,
                    int threads, char *scratch, const pca_pulls *pulls)
{
    const size_t own = of_thread(levers, plan, is_double), before = of_plan(plan, is_double);
    const int64_t n = levers->delays, slots = levers->colors * levers->most, tile = of_tile(levers, plan);
    pca_chosen(); /* before there are threads */
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (pca_threads(threads) > 1)
    for (int k = 0; k < threads; k++) {
        char *const mine = scratch + own * (size_t)k;
        double *const values = (double *)(void *)(mine + before), *const change = values + tile;
        const pca_pulls to = k ? own_pulls(levers, pulls, change + n) : *pulls;
        if (k)
            memset(to.sum, 0, (size_t)(2 * levers->colors * n + slots) * sizeof(double));
        find_part(levers, plan, arrays, is_double, arrays->elements * k / threads, arrays->elements * (k + 1) / threads,
                  mine, values, change, &to);
    }
    for (int k = 1; k < threads; k++) {
        double *const values = (double *)(void *)(scratch + own * (size_t)k + before);
        const pca_pulls from = own_pulls(levers, pulls, values + tile + n);
        for (int64_t j = 0; j < levers->colors * n; j++) {
            pulls->sum[j] += from.sum[j];
            pulls->square[j] += from.square[j];
        }
        for (int64_t j = 0; j < slots; j++)
            if (from.score[j] > 0)
                list(levers, pulls, j / levers->most, from.element[j], from.score[j], from.change + j * n);
    }
}
