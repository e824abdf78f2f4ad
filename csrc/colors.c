#include "colors.h"
#include "threads.h"

#include <string.h>

int64_t pca_color_sums(const pca_colors *colors)
{
    return colors->delays * (colors->fine ? 2 * colors->groups + 3 * colors->fines : 4 * colors->groups);
}

/* g2 is near 1: its distance from 1 keeps the digits of the variance. */
static void add_ratio(const pca_colors *c, int64_t group, const double *restrict g2, const double *restrict ip,
                      const double *restrict fut, double *sums)
{
    const int64_t n = c->delays;
    const double *restrict const counts = c->counts;
    double *restrict const excess = sums + group * n;
    double *restrict const square = sums + (c->groups + group) * n;
    double *restrict const none = sums + (2 * c->groups + group) * n;
    double *restrict const inverse = sums + (3 * c->groups + group) * n;
    for (int64_t d = 0; d < n; d++) {
        const double bottom = counts[d] > 0 ? ip[d] * fut[d] : 0;
        const double over = bottom == 0 ? 0 : 1 / (bottom == 0 ? 1 : bottom);
        const double x = bottom == 0 ? 0 : counts[d] * g2[d] * over - 1;
        excess[d] += x;
        square[d] += x * x;
        none[d] += bottom == 0 ? 1 : 0;
        inverse[d] += fut[d] * over;
    }
}

static void add_square(const double *restrict values, int64_t n, double *restrict to, double *restrict squares)
{
    for (int64_t d = 0; d < n; d++) {
        to[d] += values[d];
        squares[d] += values[d] * values[d];
    }
}

/* IP, IF and their product, which tells how uneven the elements are. */
static void add_means(const pca_colors *c, int64_t fine, const double *restrict ip, const double *restrict fut,
                      double *sums)
{
    const int64_t n = c->delays;
    const double *restrict const counts = c->counts;
    double *restrict const past = sums + (2 * c->groups + fine) * n;
    double *restrict const future = past + c->fines * n;
    double *restrict const product = future + c->fines * n;
    for (int64_t d = 0; d < n; d++) {
        const double a = counts[d] > 0 ? ip[d] : 0, b = counts[d] > 0 ? fut[d] : 0;
        past[d] += a;
        future[d] += b;
        product[d] += a * b;
    }
}

static void add_element(const pca_colors *c, int64_t p, const double *g2, const double *ip, const double *fut,
                        double *sums)
{
    const int64_t n = c->delays, group = c->group[p];
    if (c->fine == NULL) {
        if (group >= 0)
            add_ratio(c, group, g2, ip, fut, sums);
        return;
    }
    if (group >= 0)
        add_square(g2, n, sums + group * n, sums + (c->groups + group) * n);
    if (c->fine[p] >= 0)
        add_means(c, c->fine[p], ip, fut, sums);
}

/* A thread's memory: what the plan needs, IP and IF of a tile and its deferred sums; its own table. */
static size_t before_table(const pca_colors *colors, const pca_plan *plan, int is_double)
{
    const size_t values = (size_t)(2 * PCA_COLOR_TILE * colors->delays + PCA_COLOR_TILE);
    return plan ? pca_scratch(plan, is_double ? 8 : 4) + values * sizeof(double) : 0;
}

static size_t of_thread(const pca_colors *colors, const pca_plan *plan, int is_double)
{
    const size_t table = (size_t)pca_color_sums(colors) * sizeof(double);
    return (before_table(colors, plan, is_double) + table + 63) / 64 * 64;
}

size_t pca_colors_scratch(const pca_colors *colors, const pca_plan *plan, int is_double, int threads)
{
    return of_thread(colors, plan, is_double) * (size_t)threads;
}

void pca_sum_aside(const pca_plan *plan, const pca_arrays *arrays, int is_double, int64_t p, int64_t count, double *ip,
                   void *scratch)
{
    const size_t size = (size_t)(count * plan->delays) * sizeof(double);
    const size_t itemsize = is_double ? sizeof(double) : sizeof(float);
    pca_arrays tile = *arrays;
    tile.x = (char *)arrays->x + (size_t)(p * arrays->ld) * itemsize;
    tile.elements = count;
    tile.g2 = tile.energy = NULL;
    tile.ip = ip;
    tile.fut = ip + PCA_COLOR_TILE * plan->delays;
    if (plan->mode == PCA_ENDS) {
        memset(tile.ip, 0, size);
        memset(tile.fut, 0, size);
        pca_range(PCA_CORRELATE, is_double)(plan, &tile, 0, count, scratch);
        return;
    }
    tile.total = tile.fut + PCA_COLOR_TILE * plan->delays;
    memcpy(tile.ip, arrays->ip + p * plan->delays, size);
    memcpy(tile.fut, arrays->fut + p * plan->delays, size);
    memcpy(tile.total, arrays->total + p, (size_t)count * sizeof(double));
    pca_range(PCA_SETTLE, is_double)(plan, &tile, 0, count, scratch);
}

static void sum_part(const pca_colors *colors, const pca_plan *plan, const pca_arrays *arrays, int is_double,
                     int64_t p0, int64_t p1, char *scratch, double *sums)
{
    const int64_t n = colors->delays;
    double *const values = plan ? (double *)(void *)(scratch + pca_scratch(plan, is_double ? 8 : 4)) : NULL;
    for (int64_t p = p0; p < p1; p += PCA_COLOR_TILE) {
        const int64_t count = p1 - p < PCA_COLOR_TILE ? p1 - p : PCA_COLOR_TILE;
        const double *ip = plan ? values : arrays->ip + p * n;
        const double *fut = plan ? values + PCA_COLOR_TILE * n : arrays->fut + p * n;
        if (plan)
            pca_sum_aside(plan, arrays, is_double, p, count, values, scratch);
        for (int64_t k = 0; k < count; k++)
            add_element(colors, p + k, arrays->g2 + (p + k) * n, ip + k * n, fut + k * n, sums);
    }
}

void pca_sum_colors(const pca_colors *colors, const pca_plan *plan, const pca_arrays *arrays, int is_double,
                    int threads, char *scratch, double *sums)
{
    const size_t own = of_thread(colors, plan, is_double), table = before_table(colors, plan, is_double);
    const int64_t values = pca_color_sums(colors);
    pca_chosen(); /* before there are threads */
    /* The first thread adds to `sums`, the others to tables of their own. */
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (pca_threads(threads) > 1)
    for (int k = 0; k < threads; k++) {
        char *const mine = scratch + own * (size_t)k;
        double *const to = k ? (double *)(void *)(mine + table) : sums;
        if (k)
            memset(to, 0, (size_t)values * sizeof(double));
        sum_part(colors, plan, arrays, is_double, arrays->elements * k / threads,
                 arrays->elements * (k + 1) / threads, mine, to);
    }
    for (int k = 1; k < threads; k++) {
        const double *const from = (const double *)(const void *)(scratch + own * (size_t)k + table);
        for (int64_t j = 0; j < values; j++)
            sums[j] += from[j];
    }
}
