/* Included once for each REAL. */

/* Both sums of the values of one event, in lanes whose order nothing changes. */
static inline void NAME(sums)(const REAL *restrict x, int64_t n, double *sum, double *square)
{
    enum { LANES = 8 };
    double s[LANES] = {0}, q[LANES] = {0};
    int64_t k = 0;
    for (; k + LANES <= n; k += LANES)
        for (int l = 0; l < LANES; l++) {
            const double v = (double)x[k + l];
            s[l] += v;
            q[l] += v * v;
        }
    for (; k < n; k++) {
        s[0] += (double)x[k];
        q[0] += (double)x[k] * (double)x[k];
    }
    *sum = *square = 0;
    for (int l = 0; l < LANES; l++) {
        *sum += s[l];
        *square += q[l];
    }
}

/* to[e][k] = element order[k] of the event at row[e], 0 from where it is spoilt on: number[e] >=
 * spoilt[order[k]]. Of each event the sum and the sum of squares of these. */
void NAME(pca_elements)(const size_t *row, const int64_t *number, int64_t events,
                        const int64_t *order, const int64_t *spoilt, int64_t n, REAL *to,
                        double *sum, double *square)
{
    int64_t first_spoilt = INT64_MAX;
    int neighbours = 1;
    for (int64_t k = 0; k < n; k++) {
        if (spoilt[order[k]] < first_spoilt)
            first_spoilt = spoilt[order[k]];
        neighbours &= order[k] == order[0] + k;
    }
    for (int64_t e = 0; e < events; e++, to += n) {
        const REAL *x = (const REAL *)row[e];
        if (neighbours && n)
            memcpy(to, x + order[0], (size_t)n * sizeof(REAL));
        else
            for (int64_t k = 0; k < n; k++)
                to[k] = x[order[k]];
        if (number[e] >= first_spoilt)
            for (int64_t k = 0; k < n; k++)
                if (number[e] >= spoilt[order[k]])
                    to[k] = 0;
        NAME(sums)(to, n, sum + e, square + e);
    }
}
