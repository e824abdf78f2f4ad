/* Included once for each REAL. */

/* *whole = 0 if a value is not a whole number, or too large to tell cheaply; else as it was. */
pca_status NAME(pca_whole)(const REAL *x, int64_t n, int32_t *whole)
{
    enum { PIECE = 4096 };
    for (int64_t first = 0; first < n && *whole; first += PIECE) {
        const int64_t last = first + PIECE < n ? first + PIECE : n;
        int32_t broken = 0;
        for (int64_t k = first; k < last; k++) {
            const REAL v = x[k];
            const int fits = v > (REAL)-1e9 && v < (REAL)1e9;
            broken |= !fits || (REAL)(int32_t)(fits ? v : 0) != v;
        }
        if (broken)
            *whole = 0;
    }
    return PCA_OK;
}

/* energy[p] += sum of squares of the element's first `rows` values */
pca_status NAME(pca_energy)(const REAL *x, int64_t ld, int64_t rows, int64_t elements,
                            double *energy, int threads)
{
    (void)threads; /* unused without OpenMP */
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t p = 0; p < elements; p++) {
        const REAL *xp = x + p * ld;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t k = 0; k < rows; k++)
            sum += (double)xp[k] * (double)xp[k];
        energy[p] += sum;
    }
    return PCA_OK;
}
