/* Included once for each REAL. */

/* dst[p][to[k]] = src[from[k]][p]. Tiles keep both sides within the first cache. */
pca_status NAME(pca_fill)(const REAL *src, int64_t elements, const int64_t *from,
                          const int64_t *to, int64_t n, REAL *dst, int64_t ld, int threads)
{
    enum { TILE = 32 };
    (void)threads; /* unused without OpenMP */
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t p0 = 0; p0 < elements; p0 += TILE) {
        const int64_t p1 = p0 + TILE < elements ? p0 + TILE : elements;
        for (int64_t k0 = 0; k0 < n; k0 += TILE) {
            const int64_t k1 = k0 + TILE < n ? k0 + TILE : n;
            for (int64_t k = k0; k < k1; k++) {
                const REAL *row = src + from[k] * elements;
                REAL *column = dst + to[k];
                for (int64_t p = p0; p < p1; p++)
                    column[p * ld] = row[p];
            }
        }
    }
    return PCA_OK;
}

/* dst[p][j ...] = src[p][i ...] for each run */
pca_status NAME(pca_copy_runs)(const REAL *src, int64_t ld_src, REAL *dst, int64_t ld_dst,
                               int64_t elements, const pca_run *run, int64_t n, int threads)
{
    (void)threads;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t p = 0; p < elements; p++)
        for (int64_t r = 0; r < n; r++)
            memcpy(dst + p * ld_dst + run[r].j, src + p * ld_src + run[r].i,
                   (size_t)run[r].length * sizeof(REAL));
    return PCA_OK;
}
