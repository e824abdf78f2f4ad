/* Shifted stretches: sum over begin <= t < end of N[t] A[t + shift], for many shifts. */

#include "sums_impl.h"

SHIFTS(12)

/* The same, with the sums of a over new n and of n over present a; those are ones and zeros. */
TARGET static void NAME(masked)(const REAL *n, const REAL *a, const REAL *is_new, const REAL *has,
                                int64_t length, double *g2, double *of_a, double *of_n)
{
    NAME(vec) s = {0}, p = {0}, f = {0}, u = {0}, v = {0}, w = {0};
    for (int64_t t = 0; t < length; t++) {
        const NAME(vec) x = VEC(n + t * LANES), y = VEC(a + t * LANES);
        s += x * y;
        p += y * is_new[t];
        f += x * has[t];
        if (t % PCA_INNER == PCA_INNER - 1 || t == length - 1) {
            u += s;
            v += p;
            w += f;
            s = p = f = (NAME(vec)){0};
        }
        if (t % PCA_CHUNK == PCA_CHUNK - 1 || t == length - 1) {
            for (int64_t e = 0; e < LANES; e++) {
                g2[e] += (double)u[e];
                of_a[e] += (double)v[e];
                of_n[e] += (double)w[e];
            }
            u = v = w = (NAME(vec)){0};
        }
    }
}

/* What the loops over a stretch share. */
typedef struct {
    const REAL *n;    /* N[begin] */
    const REAL *line; /* A[0]; zero for PCA_STRIP positions before and after it */
    const REAL *zeros;
    int64_t begin;
    int64_t end;
    int64_t first; /* A has values from first to last */
    int64_t last;
    int64_t turn; /* -1: shifts go the other way */
} NAME(stretch);

/* Where the window of `length` positions from t + shift on begins; zeros where A has no values. */
static inline const REAL *NAME(window)(const NAME(stretch) *s, int64_t t, int64_t length,
                                       int64_t shift)
{
    const int64_t at = t + s->turn * shift;
    return at >= s->last || at + length <= s->first ? s->zeros : s->line + at * LANES;
}

/* sum[k][lane] += the sums of all shifts; fetch ahead meanwhile. */
TARGET static void NAME(all_shifts)(const pca_plan *plan, const NAME(stretch) *s, double *sum,
                                    pca_ahead *ahead)
{
    const REAL *from[12];
    for (int64_t k0 = 0; k0 < plan->shifts; k0 += PCA_SHIFTS) {
        const int64_t k1 = k0 + PCA_SHIFTS < plan->shifts ? k0 + PCA_SHIFTS : plan->shifts;
        for (int64_t strip = s->begin; strip < s->end; strip += PCA_STRIP) {
            for (int64_t k = k0; k < k1;) {
                const int64_t count = k1 - k > 8 ? 12 : 4, last = k + count < k1 ? k + count : k1;
                const int64_t one = s->turn * plan->shift[k], other = s->turn * plan->shift[last - 1];
                const int64_t low = one < other ? one : other, high = one < other ? other : one;
                const int64_t stop = strip + PCA_STRIP < s->end ? strip + PCA_STRIP : s->end;
                /* where any of these shifts meets a value */
                const int64_t t = s->first - high > strip ? s->first - high : strip;
                const int64_t end = s->last - low < stop ? s->last - low : stop;
                for (int64_t j = 0; j < count && t < end; j++)
                    from[j] = k + j < k1 ? NAME(window)(s, t, end - t, plan->shift[k + j]) : s->zeros;
                if (t >= end)
                    pca_fetch(ahead);
                else if (count == 12)
                    NAME(shifts_12)(s->n + (t - s->begin) * LANES, from, end - t, sum + k * LANES, ahead);
                else
                    NAME(shifts_4)(s->n + (t - s->begin) * LANES, from, end - t, sum + k * LANES, ahead);
                k += count;
            }
        }
    }
}

/* Calls of pca_fetch in all_shifts. */
static int64_t NAME(fetches)(const pca_plan *plan, int64_t span)
{
    const int64_t whole = plan->shifts / PCA_SHIFTS, rest = plan->shifts % PCA_SHIFTS;
    const int64_t groups = whole * (PCA_SHIFTS / 12) + rest / 12 + (rest % 12 > 8 ? 1 : (rest % 12 + 3) / 4);
    return groups * ((span + PCA_CHUNK - 1) / PCA_CHUNK) + 1;
}

/* The same with IP and IF; a shift forwards makes N the earlier event of the pair. */
TARGET static void NAME(all_masked)(const pca_plan *plan, const NAME(stretch) *s,
                                    const REAL *is_new, const REAL *has, double *g2, double *ip,
                                    double *fut)
{
    for (int64_t k = 0; k < plan->shifts; k++) {
        const int64_t shift = plan->shift[k];
        double *const of_a = shift < 0 ? ip : fut, *const of_n = shift < 0 ? fut : ip;
        for (int64_t t = s->begin; t < s->end; t += PCA_STRIP) {
            const int64_t length = t + PCA_STRIP < s->end ? PCA_STRIP : s->end - t;
            const REAL *const a = NAME(window)(s, t, length, shift);
            if (a != s->zeros)
                NAME(masked)(s->n + (t - s->begin) * LANES, a, is_new + (t - s->begin),
                             has + t + shift, length, g2 + k * LANES, of_a + k * LANES,
                             of_n + k * LANES);
        }
    }
}

/* The pairs that are given as runs of positions. */
TARGET static void NAME(given_runs)(const pca_plan *plan, const REAL *line, int64_t count,
                                    double *g2, double *ip, double *fut)
{
    for (int64_t d = 0; d < plan->delays; d++) {
        double s[LANES] = {0}, p[LANES] = {0}, f[LANES] = {0};
        if (plan->start[d] == plan->start[d + 1])
            continue;
        for (int64_t r = plan->start[d]; r < plan->start[d + 1]; r++) {
            const pca_run run = plan->run[r];
            const REAL *a = line + run.i * LANES, *b = line + run.j * LANES;
            for (int64_t k = 0; k < run.length; k++)
                for (int64_t e = 0; e < LANES; e++) {
                    const double u = (double)a[k * LANES + e], v = (double)b[k * LANES + e];
                    s[e] += u * v;
                    p[e] += u;
                    f[e] += v;
                }
        }
        for (int64_t e = 0; e < count; e++) {
            g2[e * plan->delays + d] += plan->sign * s[e];
            if (plan->mode != PCA_ONLY_G2) {
                ip[e * plan->delays + d] += plan->sign * p[e];
                fut[e * plan->delays + d] += plan->sign * f[e];
            }
        }
    }
}
