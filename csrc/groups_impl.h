/* Included once for each REAL. */

pca_status NAME(pca_sum_groups)(const pca_matrix *v, int64_t rows, int64_t elements,
                                const int32_t *group, int32_t groups, double *out,
                                int64_t out_row, int64_t out_group, int threads, double *scratch)
{
    const int64_t blocks = (rows + PCA_ROWS - 1) / PCA_ROWS;
    for (int64_t p = 0; p < elements; p++)
        if (group[p] >= groups)
            return PCA_BAD_VALUE;
    /* Each thread has whole rows, so that a sum is always made in the elements' order. */
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (pca_threads(threads) > 1)
    for (int k = 0; k < threads; k++) {
        double *const sum = scratch + (int64_t)k * groups * PCA_ROWS;
        for (int64_t b = blocks * k / threads; b < blocks * (k + 1) / threads; b++) {
            const int64_t first = b * PCA_ROWS;
            const int64_t count = rows - first < PCA_ROWS ? rows - first : PCA_ROWS;
            const REAL *at = (const REAL *)v->values + first * v->row;
            memset(sum, 0, (size_t)groups * PCA_ROWS * sizeof *sum);
            for (int64_t p = 0; p < elements; p++, at += v->element) {
                double *const mine = sum + (int64_t)group[p] * PCA_ROWS;
                if (group[p] < 0)
                    continue;
                if (v->row == 1 && count == PCA_ROWS)
                    for (int64_t i = 0; i < PCA_ROWS; i++)
                        mine[i] += (double)at[i];
                else
                    for (int64_t i = 0; i < count; i++)
                        mine[i] += (double)at[i * v->row];
            }
            for (int64_t g = 0; g < groups; g++)
                for (int64_t i = 0; i < count; i++)
                    out[(first + i) * out_row + g * out_group] += sum[g * PCA_ROWS + i];
        }
    }
    return PCA_OK;
}

pca_status NAME(pca_gather)(const REAL *frame, int64_t size, const int64_t *index, int64_t n,
                            REAL *included)
{
    for (int64_t k = 0; k < n; k++) {
        if (index[k] < 0 || index[k] >= size)
            return PCA_BAD_VALUE;
        included[k] = frame[index[k]];
    }
    return PCA_OK;
}

pca_status NAME(pca_scatter)(const REAL *included, int64_t step, const int64_t *index, int64_t n,
                             REAL *frame, int64_t size)
{
    if (!is_within(index, n, size))
        return PCA_BAD_VALUE;
    for (int64_t k = 0; k < n; k++)
        frame[index[k]] = included[k * step];
    return PCA_OK;
}
