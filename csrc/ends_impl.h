/* IP and IF where hardly a pulse is missing: sums over everything but the ends of a line. */

/* out[k][lane] += sign * (sum over the last d positions before `end`), for increasing d = -shift */
TARGET static void NAME(tails)(const pca_plan *plan, const REAL *line, int64_t end, double sign,
                               double *out)
{
    int64_t at = end;
    double sum[LANES] = {0};
    for (int64_t k = 0; k < plan->shifts; k++) {
        const int64_t cut = end + plan->shift[k] < 0 ? 0 : end + plan->shift[k];
        NAME(add)(line + cut * LANES, at - cut, sum);
        at = cut;
        for (int64_t e = 0; e < LANES; e++)
            out[k * LANES + e] += sign * sum[e];
    }
}

/* ip += sum of all but the last d positions, fut += sum of all but the first d. From the
 * largest delay on, so that nothing is taken away again: dark sums stay as exact as bright ones. */
TARGET static void NAME(without_ends)(const pca_plan *plan, const REAL *line, double *ip,
                                      double *fut)
{
    const int64_t length = plan->length;
    int64_t to = 0, from = length;
    double past[LANES] = {0}, future[LANES] = {0};
    for (int64_t k = plan->shifts - 1; k >= 0; k--) {
        const int64_t d = -plan->shift[k] < length ? -plan->shift[k] : length;
        NAME(add)(line + to * LANES, length - d - to, past);
        NAME(add)(line + d * LANES, from - d, future);
        to = length - d;
        from = d;
        for (int64_t e = 0; e < LANES; e++) {
            ip[k * LANES + e] += past[e];
            fut[k * LANES + e] += future[e];
        }
    }
}

/* fut -= sum of the new values before position d: nothing lies on the line d before them. */
TARGET static void NAME(heads)(const pca_plan *plan, const REAL *line, double *fut)
{
    int64_t at = plan->begin;
    double sum[LANES] = {0};
    for (int64_t k = 0; k < plan->shifts; k++) {
        const int64_t d = -plan->shift[k], cut = d < plan->end ? d : plan->end;
        if (cut > at) {
            NAME(add)(line + at * LANES, cut - at, sum);
            at = cut;
        }
        for (int64_t e = 0; e < LANES; e++)
            fut[k * LANES + e] -= sum[e];
    }
}

/* What missing pulses take away: see Deferred sums in docs/architecture.md. A pulse missing among
 * the new ones was the later one of pairs, `past` are their earlier ones, d before it; one missing
 * anywhere was the earlier one of pairs with new events, d after it. */
TARGET static void NAME(missing)(const pca_plan *plan, const REAL *line, double *ip, double *fut)
{
    const int64_t *const miss = plan->missing;
    for (int64_t k = 0; k < plan->shifts; k++) {
        const int64_t d = -plan->shift[k];
        double past[LANES] = {0}, future[LANES] = {0};
        int64_t j = plan->new_first[0];
        int64_t last = plan->mode == PCA_ENDS ? plan->new_first[1] : plan->hi[k];
        while (j < plan->new_first[1] && miss[j] < d)
            j++;
        NAME(add_at)(line - d * LANES, miss + j, plan->new_first[1] - j, past);
        j = plan->mode == PCA_ENDS ? plan->new_first[0] : plan->lo[k];
        while (last > j && miss[last - 1] + d >= plan->length)
            last--;
        NAME(add_at)(line + d * LANES, miss + j, last - j, future);
        for (int64_t e = 0; e < LANES; e++) {
            ip[k * LANES + e] -= past[e];
            fut[k * LANES + e] -= future[e];
        }
    }
}

/* Settle the deferred sums of elements p0 ... p1. */
TARGET static void NAME(settle)(const pca_plan *plan, const pca_arrays *arrays, int64_t p0,
                                int64_t p1, void *scratch)
{
    const size_t one = (size_t)(plan->length * LANES) * sizeof(REAL);
    REAL *const line = scratch;
    double *const ip = (double *)(void *)((char *)scratch + (one + PCA_VECTOR) / PCA_VECTOR * PCA_VECTOR);
    double *const fut = ip + plan->shifts * LANES;
    memset(line, 0, one);
    for (int64_t p = p0; p < p1; p += LANES) {
        const int64_t count = p1 - p < LANES ? p1 - p : LANES;
        const REAL *column[LANES];
        NAME(columns)((const REAL *)arrays->x + p * arrays->ld, arrays->ld, count, column);
        for (int64_t r = 0; r < plan->n_old; r++)
            NAME(lay)(column, plan->old[r], line);
        for (int64_t k = 0; k < plan->shifts; k++)
            for (int64_t e = 0; e < LANES; e++)
                ip[k * LANES + e] = fut[k * LANES + e] = e < count ? arrays->total[p + e] : 0;
        NAME(tails)(plan, line, plan->length, -1.0, ip);
        NAME(scatter)(plan->column, plan->shifts, plan->delays, ip, 1.0, count, arrays->ip + p * plan->delays);
        NAME(scatter)(plan->column, plan->shifts, plan->delays, fut, 1.0, count, arrays->fut + p * plan->delays);
        for (int64_t e = 0; e < count; e++)
            arrays->total[p + e] = 0;
    }
}
