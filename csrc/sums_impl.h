/* Included once for each REAL. */

static double NAME(stretch)(const REAL *a, int64_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < n; k++)
        sum += (double)a[k];
    return sum;
}

/* out[column] += sign * (sum of the last d positions), for increasing d = -shift */
static void NAME(tails)(const pca_plan *plan, const REAL *line, double sign, double *out)
{
    int64_t at = plan->length;
    double sum = 0;
    for (int64_t k = 0; k < plan->shifts; k++) {
        int64_t cut = plan->length + plan->shift[k];
        if (cut < 0)
            cut = 0;
        sum += NAME(stretch)(line + cut, at - cut);
        at = cut;
        out[plan->column[k]] += sign * sum;
    }
}

/* ip += sum of all but the last d positions, fut += sum of all but the first d. From the
 * largest delay on, so that nothing is taken away again: dark sums stay as exact as bright ones. */
static void NAME(without_ends)(const pca_plan *plan, const REAL *line, double *ip, double *fut)
{
    int64_t to = 0, from = plan->length;
    double past = 0, future = 0;
    for (int64_t k = plan->shifts - 1; k >= 0; k--) {
        const int64_t d = -plan->shift[k] < plan->length ? -plan->shift[k] : plan->length;
        past += NAME(stretch)(line + to, plan->length - d - to);
        future += NAME(stretch)(line + d, from - d);
        to = plan->length - d;
        from = d;
        ip[plan->column[k]] += past;
        fut[plan->column[k]] += future;
    }
}

/* One element of pca_sums; line is zero where a position has no row. */
static void NAME(sums_of)(const pca_plan *plan, int what, const REAL *line, double *total,
                          double *ip, double *fut)
{
    if (what == PCA_DEFER) {
        NAME(tails)(plan, line, 1.0, ip);
        return;
    }
    if (what == PCA_SETTLE) {
        for (int64_t k = 0; k < plan->shifts; k++) {
            ip[plan->column[k]] += *total;
            fut[plan->column[k]] += *total;
        }
        NAME(tails)(plan, line, -1.0, ip);
        *total = 0;
        return;
    }
    NAME(without_ends)(plan, line, ip, fut);
    for (int64_t k = 0; plan->missing && k < plan->shifts; k++) {
        const int64_t d = -plan->shift[k];
        double past = 0, future = 0;
        for (int64_t j = plan->new_first[0]; j < plan->new_first[1]; j++) {
            const int64_t t = plan->missing[j];
            past += t >= d ? (double)line[t - d] : 0.0;
            future += t + d < plan->length ? (double)line[t + d] : 0.0;
        }
        ip[plan->column[k]] -= past;
        fut[plan->column[k]] -= future;
    }
}

pca_status NAME(pca_sums)(const pca_plan *plan, const pca_arrays *arrays, int what, int threads,
                          char *scratch)
{
    const size_t each = pca_scratch(plan, sizeof(REAL)) / 64 * 64;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int k = 0; k < threads; k++) {
        const int64_t p0 = arrays->elements * k / threads, p1 = arrays->elements * (k + 1) / threads;
        REAL *const line = (REAL *)(void *)(scratch + (size_t)k * each);
        memset(line, 0, (size_t)plan->length * sizeof(REAL));
        for (int64_t p = p0; p < p1; p++) {
            const REAL *column = (const REAL *)arrays->x + p * arrays->ld;
            for (int64_t r = 0; r < plan->n_old; r++)
                memcpy(line + plan->old[r].j, column + plan->old[r].i,
                       (size_t)plan->old[r].length * sizeof(REAL));
            NAME(sums_of)(plan, what, line, arrays->total ? arrays->total + p : NULL,
                          arrays->ip + p * plan->delays, arrays->fut + p * plan->delays);
        }
    }
    return PCA_OK;
}
