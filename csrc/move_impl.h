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
