/* Included once for each REAL. */

/* *whole = 0 if a value is not a whole number from -most to most; else as it was. */
pca_status NAME(pca_whole)(const REAL *x, int64_t n, int32_t most, int32_t *whole)
{
    enum { PIECE = 4096 };
    for (int64_t first = 0; first < n && *whole; first += PIECE) {
        const int64_t last = first + PIECE < n ? first + PIECE : n;
        int32_t broken = 0;
        for (int64_t k = first; k < last; k++) {
            const REAL v = x[k];
            const int fits = v >= (REAL)-most && v <= (REAL)most;
            broken |= !fits || (REAL)(int32_t)(fits ? v : 0) != v;
        }
        if (broken)
            *whole = 0;
    }
    return PCA_OK;
}

/* energy[p] = sum of squares of the element's first `rows` values, largest[p] = the largest
 * part of it that `piece` values have */
pca_status NAME(pca_energy)(const REAL *x, int64_t ld, int64_t rows, int64_t elements,
                            int64_t piece, double *energy, double *largest, int threads)
{
    (void)threads; /* unused without OpenMP */
#pragma omp parallel for num_threads(threads) schedule(static) if (pca_threads(threads) > 1)
    for (int64_t p = 0; p < elements; p++) {
        const REAL *xp = x + p * ld;
        energy[p] = largest[p] = 0;
        for (int64_t first = 0; first < rows; first += piece) {
            const int64_t last = first + piece < rows ? first + piece : rows;
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t k = first; k < last; k++)
                sum += (double)xp[k] * (double)xp[k];
            energy[p] += sum;
            if (sum > largest[p])
                largest[p] = sum;
        }
    }
    return PCA_OK;
}
