/* Included once for each REAL. */

/* For each element and delay, over the pairs of the delay's runs:
 *   g2 += sign * sum I(t) I(t + d),  ip += sign * sum I(t),  fut += sign * sum I(t + d).
 * Products and sums are float64: the product of two float32 is exact there. The order
 * of a sum depends on the runs alone, so neither threads nor workers change a bit. */
pca_status NAME(pca_g2)(const REAL *x, int64_t ld_x, const REAL *y, int64_t ld_y, int64_t split,
                        int64_t elements, const pca_runs *runs, double sign, double *g2,
                        double *ip, double *fut, int threads)
{
    const int64_t delays = runs->delays;
    (void)threads;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t p = 0; p < elements; p++) {
        const REAL *xp = x + p * ld_x;
        /* rows of the pending block are counted on from `split` */
        const REAL *yp = y == NULL ? NULL : y + p * ld_y;
        for (int64_t d = 0; d < delays; d++) {
            double sum_g2 = 0, sum_ip = 0, sum_fut = 0;
            for (int64_t r = runs->start[d]; r < runs->start[d + 1]; r++) {
                const pca_run run = runs->run[r];
                const REAL *a = run.i < split ? xp + run.i : yp + (run.i - split);
                const REAL *b = run.j < split ? xp + run.j : yp + (run.j - split);
                double s0 = 0, s1 = 0, s2 = 0;
#pragma omp simd reduction(+ : s0, s1, s2)
                for (int32_t k = 0; k < run.length; k++) {
                    const double u = (double)a[k], v = (double)b[k];
                    s0 += u * v;
                    s1 += u;
                    s2 += v;
                }
                sum_g2 += s0;
                sum_ip += s1;
                sum_fut += s2;
            }
            g2[p * delays + d] += sign * sum_g2;
            ip[p * delays + d] += sign * sum_ip;
            fut[p * delays + d] += sign * sum_fut;
        }
    }
    return PCA_OK;
}

/* *whole = 0 if any of the first `rows` values of an element is not a whole number, or is
 * too large to tell cheaply; else it is left as it is. */
pca_status NAME(pca_whole)(const REAL *x, int64_t ld, int64_t rows, int64_t elements,
                           int32_t *whole)
{
    int32_t broken = 0;
    for (int64_t p = 0; p < elements && !broken; p++) {
        const REAL *xp = x + p * ld;
        for (int64_t k = 0; k < rows; k++) {
            const REAL v = xp[k];
            const int fits = v > (REAL)-1e9 && v < (REAL)1e9;
            broken |= !fits || (REAL)(int32_t)(fits ? v : 0) != v;
        }
    }
    if (broken)
        *whole = 0;
    return PCA_OK;
}

/* energy[p] += sum of squares of the element's first `rows` values */
pca_status NAME(pca_energy)(const REAL *x, int64_t ld, int64_t rows, int64_t elements,
                            double *energy, int threads)
{
    (void)threads;
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
