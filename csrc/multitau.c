/* The function of the code path in use, pass by pass, and the threads around it. */
#include "multitau.h"
#include "threads.h"

static const pca_multitau_functions *const functions[PCA_PATHS] = {
#if defined(__x86_64__)
    [PCA_V4] = &pca_multitau_v4,
    [PCA_V3] = &pca_multitau_v3,
    [PCA_V2] = &pca_multitau_v2,
#endif
    [PCA_GENERIC] = &pca_multitau_generic,
};

size_t pca_multitau_scratch(const pca_levels *levels, size_t itemsize)
{
    const size_t length = (size_t)pca_pass_length(levels), channels = (size_t)levels->channels;
    const size_t lanes = PCA_VECTOR / itemsize;
    const size_t sums = (size_t)(3 * pca_slots(levels) + levels->levels) * lanes * sizeof(double);
    const size_t vectors = (size_t)levels->levels * channels + 2 * (length / 2 + channels + 2);
    /* and 64 bytes for each panel, of which there are most where vectors are short */
    const size_t tile = PCA_TILE * itemsize * (length + 4);
    return (sums + vectors * PCA_VECTOR + tile) / 4096 * 4096 + 2 * 4096;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

pca_status pca_multitau(const pca_levels *levels, const pca_series *series, const int64_t *counter, int64_t m,
                        int is_double, int threads, void *memory, char *scratch)
{
    const pca_multitau_functions *const of_path = functions[pca_chosen()];
    pca_multitau_range *const range = is_double ? of_path->f64 : of_path->f32;
    const size_t each = pca_multitau_scratch(levels, is_double ? 8 : 4);
    const int64_t tiles = (series->elements + PCA_TILE - 1) / PCA_TILE;
    int wrong = m > 0 && *levels->begun && counter[0] < *levels->frontier;
    for (int64_t k = 1; k < m; k++)
        wrong |= counter[k] <= counter[k - 1];
    if (wrong)
        return PCA_BAD_VALUE;
    for (int64_t done = 0; done < m;) {
        pca_series part = *series;
        pca_pass pass;
        pca_plan_pass(levels, counter + done, m - done, memory, &pass);
        part.rows += done;
        for (int64_t k = 0; k < pass.events; k++)
            pass.offset[k] = (int64_t)(part.rows[k] - part.rows[0]);
            /* Which thread does an element changes neither its sums nor their order. */
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (pca_threads(threads) > 1)
        for (int k = 0; k < threads; k++) {
            const int64_t p0 = tiles * k / threads * PCA_TILE;
            const int64_t p1 = least(tiles * (k + 1) / threads * PCA_TILE, part.elements);
            if (p0 < p1)
                range(levels, &pass, &part, p0, p1, scratch + (size_t)k * each);
        }
        done += pass.events;
    }
    return PCA_OK;
}
