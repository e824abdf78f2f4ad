/* Numbers of photons: threads around the code paths. */
#include "counting.h"
#include "threads.h"

static const pca_counting_functions *const functions[PCA_PATHS] = {
#if defined(__x86_64__)
    [PCA_V4] = &pca_counting_v4,
    [PCA_V3] = &pca_counting_v3,
    [PCA_V2] = &pca_counting_v2,
#endif
    [PCA_GENERIC] = &pca_counting_generic,
};

static int64_t size_of_counts(const pca_counting *c)
{
    return c->slots * c->colors * (c->kmax + 2);
}

static int64_t numbers(const pca_counting *c)
{
    return size_of_counts(c) + c->colors * (c->slots + 2 * c->events + 1);
}

size_t pca_counting_scratch(const pca_counting *c)
{
    return ((size_t)numbers(c) * sizeof(int64_t) + 63) / 64 * 64;
}

static void add(int64_t *to, const int64_t *from, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        to[k] += from[k];
}

void pca_count(const pca_counting *c, const pca_counted *out, int is_double, int threads, char *scratch)
{
    const size_t each = pca_counting_scratch(c);
    const int64_t strips = (c->elements + PCA_COUNT_STRIP - 1) / PCA_COUNT_STRIP;
    const pca_counting_functions *const of_path = functions[pca_chosen()];
    pca_count_range *const range = is_double ? of_path->f64 : of_path->f32;
    const int64_t counts = size_of_counts(c), photons = c->slots * c->colors, sums = c->events * c->colors;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (pca_threads(threads) > 1)
    for (int k = 0; k < threads; k++) {
        int64_t *const mine = (int64_t *)(void *)(scratch + (size_t)k * each);
        pca_counted own = {mine, mine + counts, mine + counts + photons, mine + counts + photons + sums,
                           mine + counts + photons + 2 * sums};
        const int64_t p0 = strips * k / threads * PCA_COUNT_STRIP, end = strips * (k + 1) / threads * PCA_COUNT_STRIP;
        range(c, p0, end < c->elements ? end : c->elements, &own);
        for (int64_t f = 0; f < c->events; f++)
            add(own.number + f * c->colors, own.whole, c->colors);
    }
    for (int k = 0; k < threads; k++) {
        const int64_t *const own = (const int64_t *)(const void *)(scratch + (size_t)k * each);
        add(out->counts, own, counts);
        add(out->photons, own + counts, photons);
        add(out->sums, own + counts + photons, sums);
        add(out->number, own + counts + photons + sums, sums);
    }
}
