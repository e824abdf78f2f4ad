/* One code path for one type: included with REAL, NAME(x), VBYTES and TARGET defined. */

#define LANES ((int64_t)(VBYTES / sizeof(REAL)))
/* Products in one lane of a float32 sum: 16 roundings of 2^-24 each stay below 1e-6. Along
 * time the rest of a run and the sum of four vectors come on top of 8. */
#define STEPS 16
#define LINE_STEPS 8
#define PANEL (4 * LANES)

typedef REAL NAME(pvec) __attribute__((vector_size(VBYTES)));
typedef REAL NAME(ploose) __attribute__((vector_size(VBYTES), aligned(sizeof(REAL)), may_alias));

#define LOAD(p) (*(const NAME(ploose) *)(p))

/* sum[k] += lane k, in float64 */
TARGET static inline void NAME(fold)(const NAME(pvec) *v, int64_t lanes, double *sum)
{
    const REAL *lane = (const REAL *)v;
    for (int64_t k = 0; k < lanes; k++)
        sum[k] += (double)lane[k];
}

/* The lanes' sum. The order is fixed: it is part of the result. */
TARGET static inline double NAME(together)(double *sum)
{
    for (int64_t n = LANES / 2; n > 0; n /= 2)
        for (int64_t k = 0; k < n; k++)
            sum[k] += sum[k + n];
    return sum[0];
}

#define EACH(F) F(0) F(1) F(2) F(3)
#define G2_ZERO(k) NAME(pvec) s##k = {0};
#define ALL_ZERO(k) NAME(pvec) s##k = {0}, x##k = {0}, y##k = {0};
#define G2_STEP(k, a, b) s##k += LOAD(a) * LOAD(b);
#define ALL_STEP(k, a, b)                                                                     \
    {                                                                                         \
        const NAME(pvec) u = LOAD(a), v = LOAD(b);                                            \
        s##k += u * v;                                                                        \
        x##k += u;                                                                            \
        y##k += v;                                                                            \
    }

/* One run along time. sum: LANES doubles each for G2, past and future; rest: one double each. */
#define LINE(WHAT, FOLDS)                                                                     \
    TARGET static inline void NAME(line_##WHAT)(const REAL *a, const REAL *b, int64_t n,      \
                                                double *sum, double *rest)                    \
    {                                                                                         \
        int64_t t = 0;                                                                        \
        while (n - t >= LANES) {                                                              \
            const int64_t stop = n - t > LINE_STEPS * PANEL ? t + LINE_STEPS * PANEL : n;               \
            EACH(WHAT##_ZERO)                                                                 \
            for (; t + PANEL <= stop; t += PANEL) {                                           \
                WHAT##_STEP(0, a + t, b + t);                                                 \
                WHAT##_STEP(1, a + t + LANES, b + t + LANES);                                 \
                WHAT##_STEP(2, a + t + 2 * LANES, b + t + 2 * LANES);                         \
                WHAT##_STEP(3, a + t + 3 * LANES, b + t + 3 * LANES);                         \
            }                                                                                 \
            for (; t + LANES <= stop; t += LANES)                                             \
                WHAT##_STEP(0, a + t, b + t);                                                 \
            FOLDS                                                                             \
        }                                                                                     \
        for (; t < n; t++) {                                                                  \
            rest[0] += (double)a[t] * (double)b[t];                                           \
            rest[1] += (double)a[t];                                                          \
            rest[2] += (double)b[t];                                                          \
        }                                                                                     \
    }
#define FOLD_FOUR(s, at)                                                                      \
    {                                                                                         \
        const NAME(pvec) four = (s##0 + s##1) + (s##2 + s##3);                                \
        NAME(fold)(&four, LANES, sum + (at) * LANES);                                         \
    }
LINE(G2, FOLD_FOUR(s, 0))
LINE(ALL, FOLD_FOUR(s, 0) FOLD_FOUR(x, 1) FOLD_FOUR(y, 2))

/* Add the sums of `count` elements from p on to those results that are wanted. */
TARGET static inline void NAME(put)(const pca_pairs *q, int64_t d, int64_t p, int64_t count,
                                    const double *g2, const double *ip, const double *fut)
{
    const int64_t at = d * q->delay + p * q->element;
    for (int64_t e = 0; q->g2 && e < count; e++)
        q->g2[at + e * q->element] += q->sign * g2[e];
    for (int64_t e = 0; q->ip && e < count; e++)
        q->ip[at + e * q->element] += q->sign * ip[e];
    for (int64_t e = 0; q->fut && e < count; e++)
        q->fut[at + e * q->element] += q->sign * fut[e];
}

TARGET static void NAME(line)(const pca_pairs *q, int64_t p, const REAL *past,
                              const REAL *future, int all)
{
    for (int64_t d = 0; d < q->delays; d++) {
        double sum[3 * LANES], rest[3] = {0};
        memset(sum, 0, sizeof sum);
        for (int64_t r = q->start[d]; r < q->start[d + 1]; r++) {
            const pca_run run = q->run[r];
            if (all)
                NAME(line_ALL)(past + run.i, future + run.j, run.length, sum, rest);
            else
                NAME(line_G2)(past + run.i, future + run.j, run.length, sum, rest);
        }
        rest[0] += NAME(together)(sum);
        if (all) {
            rest[1] += NAME(together)(sum + LANES);
            rest[2] += NAME(together)(sum + 2 * LANES);
        }
        NAME(put)(q, d, p, 1, rest, rest + 1, rest + 2);
    }
}

/* The pairs of one delay for the elements of a panel: rows of PANEL values.
 * sum: PANEL doubles each for G2, past and future */
#define PANELS(WHAT, FOLDS)                                                                   \
    TARGET static void NAME(panel_##WHAT)(const pca_pairs *q, int64_t d, const REAL *past,    \
                                          const REAL *future, double *sum)                    \
    {                                                                                         \
        int64_t left = STEPS;                                                                 \
        EACH(WHAT##_ZERO)                                                                     \
        for (int64_t r = q->start[d]; r < q->start[d + 1]; r++) {                             \
            const pca_run run = q->run[r];                                                    \
            const REAL *a = past + run.i * PANEL, *b = future + run.j * PANEL;                \
            int64_t k = 0;                                                                    \
            while (k < run.length) {                                                          \
                const int64_t stop = run.length - k < left ? run.length : k + left;           \
                left -= stop - k;                                                             \
                for (; k < stop; k++, a += PANEL, b += PANEL) {                               \
                    WHAT##_STEP(0, a, b);                                                     \
                    WHAT##_STEP(1, a + LANES, b + LANES);                                     \
                    WHAT##_STEP(2, a + 2 * LANES, b + 2 * LANES);                             \
                    WHAT##_STEP(3, a + 3 * LANES, b + 3 * LANES);                             \
                }                                                                             \
                if (left == 0) {                                                              \
                    EACH(FOLDS)                                                               \
                    left = STEPS;                                                             \
                }                                                                             \
            }                                                                                 \
        }                                                                                     \
        EACH(FOLDS)                                                                           \
    }
#define FOLD_ONE(s, k, at)                                                                    \
    NAME(fold)(&s##k, LANES, sum + (at) * PANEL + (k) * LANES);                               \
    s##k = (NAME(pvec)){0};
#define G2_FOLD(k) FOLD_ONE(s, k, 0)
#define ALL_FOLD(k) FOLD_ONE(s, k, 0) FOLD_ONE(x, k, 1) FOLD_ONE(y, k, 2)
PANELS(G2, G2_FOLD)
PANELS(ALL, ALL_FOLD)

/* packed[row][e], zero beyond the last element */
TARGET static void NAME(pack_rows)(const pca_pairs *q, const pca_matrix *v, int64_t p,
                                   int64_t count, REAL *packed)
{
    const REAL *from = (const REAL *)v->values + p * v->element;
    if (count < PANEL)
        memset(packed, 0, (size_t)(q->span * PANEL) * sizeof(REAL));
    if (v->element == 1 && count == PANEL) {
        for (int64_t t = 0; t < q->span; t++)
            memcpy(packed + t * PANEL, from + t * v->row, sizeof(REAL) * (size_t)PANEL);
        return;
    }
    for (int64_t t0 = 0; t0 < q->span; t0 += 16) {
        const int64_t t1 = t0 + 16 < q->span ? t0 + 16 : q->span;
        for (int64_t e = 0; e < count; e++)
            for (int64_t t = t0; t < t1; t++)
                packed[t * PANEL + e] = from[t * v->row + e * v->element];
    }
}

/* turned[e][row], `ld` values apart */
TARGET static void NAME(turn_rows)(const pca_pairs *q, const pca_matrix *v, int64_t p,
                                   int64_t count, REAL *turned, int64_t ld)
{
    typedef REAL quad __attribute__((vector_size(4 * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
    const REAL *from = (const REAL *)v->values + p * v->element;
    int64_t t = 0;
    if (v->element == 1 && count == PCA_TURNED)
        for (; t + 4 <= q->span; t += 4) {
            const REAL *row = from + t * v->row;
            for (int64_t e = 0; e < PCA_TURNED; e += 4) {
                const quad a = *(const quad *)(row + e), b = *(const quad *)(row + v->row + e);
                const quad c = *(const quad *)(row + 2 * v->row + e);
                const quad d = *(const quad *)(row + 3 * v->row + e);
                const quad ab = PCA_SHUFFLE(a, b, 0, 4, 1, 5);
                const quad cd = PCA_SHUFFLE(c, d, 0, 4, 1, 5);
                const quad AB = PCA_SHUFFLE(a, b, 2, 6, 3, 7);
                const quad CD = PCA_SHUFFLE(c, d, 2, 6, 3, 7);
                REAL *to = turned + e * ld + t;
                *(quad *)to = PCA_SHUFFLE(ab, cd, 0, 1, 4, 5);
                *(quad *)(to + ld) = PCA_SHUFFLE(ab, cd, 2, 3, 6, 7);
                *(quad *)(to + 2 * ld) = PCA_SHUFFLE(AB, CD, 0, 1, 4, 5);
                *(quad *)(to + 3 * ld) = PCA_SHUFFLE(AB, CD, 2, 3, 6, 7);
            }
        }
    for (; t < q->span; t++)
        for (int64_t e = 0; e < count; e++)
            turned[e * ld + t] = from[t * v->row + e * v->element];
}

/* Where the series of elements p ... are: turned, unless they lie in one piece already. */
TARGET static const REAL *NAME(series)(const pca_pairs *q, const pca_matrix *v, int64_t p,
                                       int64_t count, REAL *turned, int64_t ld, int64_t *step)
{
    if (v->row == 1) {
        *step = v->element;
        return (const REAL *)v->values + p * v->element;
    }
    NAME(turn_rows)(q, v, p, v->element ? count : 1, turned, ld);
    *step = v->element ? ld : 0;
    return turned;
}

TARGET static void NAME(lines)(const pca_pairs *q, int64_t p0, int64_t p1, REAL *scratch, int all)
{
    const int64_t ld = (q->span + 15) / 16 * 16 + 16;
    const int same = q->same;
    for (int64_t p = p0; p < p1; p += PCA_TURNED) {
        const int64_t count = p1 - p < PCA_TURNED ? p1 - p : PCA_TURNED;
        int64_t past_step, future_step;
        const REAL *past = NAME(series)(q, &q->past, p, count, scratch, ld, &past_step);
        const REAL *future = past;
        future_step = past_step;
        if (!same)
            future = NAME(series)(q, &q->future, p, count, scratch + PCA_TURNED * ld, ld, &future_step);
        for (int64_t e = 0; e < count; e++)
            NAME(line)(q, p + e, past + e * past_step, future + e * future_step, all);
    }
}

TARGET static void NAME(panels)(const pca_pairs *q, int64_t p0, int64_t p1, REAL *scratch, int all)
{
    REAL *const packed = scratch, *const other = scratch + (q->span + 16) * PANEL;
    const int same = q->same;
    for (int64_t p = p0; p < p1; p += PANEL) {
        const int64_t count = p1 - p < PANEL ? p1 - p : PANEL;
        NAME(pack_rows)(q, &q->past, p, count, packed);
        if (!same)
            NAME(pack_rows)(q, &q->future, p, count, other);
        for (int64_t d = 0; d < q->delays; d++) {
            double sum[3 * PANEL];
            memset(sum, 0, sizeof sum);
            if (all)
                NAME(panel_ALL)(q, d, packed, same ? packed : other, sum);
            else
                NAME(panel_G2)(q, d, packed, same ? packed : other, sum);
            NAME(put)(q, d, p, count, sum, sum + PANEL, sum + 2 * PANEL);
        }
    }
}

enum { NAME(DIRECT) = 64 };

/* A step that is a constant here lets the compiler make vectors of elements. */
TARGET static inline __attribute__((always_inline)) void
NAME(direct_of)(const pca_pairs *q, int64_t p, int64_t count, int64_t a_step, int64_t b_step, int all)
{
    const REAL *const past = (const REAL *)q->past.values + p * a_step;
    const REAL *const future = (const REAL *)q->future.values + p * b_step;
    for (int64_t d = 0; d < q->delays; d++) {
        double sum[3][NAME(DIRECT)];
        if (q->start[d] == q->start[d + 1])
            continue;
        for (int64_t e = 0; e < NAME(DIRECT); e++)
            sum[0][e] = sum[1][e] = sum[2][e] = 0;
        for (int64_t r = q->start[d]; r < q->start[d + 1]; r++)
            for (int64_t k = 0; k < q->run[r].length; k++) {
                const REAL *a = past + (q->run[r].i + k) * q->past.row;
                const REAL *b = future + (q->run[r].j + k) * q->future.row;
                for (int64_t e = 0; e < count; e++) {
                    const double u = (double)a[e * a_step], v = (double)b[e * b_step];
                    sum[0][e] += u * v;
                    if (all) {
                        sum[1][e] += u;
                        sum[2][e] += v;
                    }
                }
            }
        NAME(put)(q, d, p, count, sum[0], sum[1], sum[2]);
    }
}

TARGET static void NAME(direct)(const pca_pairs *q, int64_t p0, int64_t p1, int all)
{
    const int64_t a = q->past.element, b = q->future.element;
    for (int64_t p = p0; p < p1; p += NAME(DIRECT)) {
        const int64_t count = p1 - p < NAME(DIRECT) ? p1 - p : NAME(DIRECT);
        if (a == 1 && b == 1 && all)
            NAME(direct_of)(q, p, count, 1, 1, 1);
        else if (a == 1 && b == 1)
            NAME(direct_of)(q, p, count, 1, 1, 0);
        else
            NAME(direct_of)(q, p, count, a, b, 1);
    }
}

TARGET static void NAME(pairs)(const pca_pairs *q, int64_t p0, int64_t p1, void *scratch)
{
    const int all = q->ip || q->fut;
    if (q->how == PCA_LINES)
        NAME(lines)(q, p0, p1, scratch, all);
    else if (q->how == PCA_PANELS)
        NAME(panels)(q, p0, p1, scratch, all);
    else
        NAME(direct)(q, p0, p1, all);
}

#undef LANES
#undef STEPS
#undef LINE_STEPS
#undef PANEL
#undef LOAD
#undef EACH
#undef G2_ZERO
#undef ALL_ZERO
#undef G2_STEP
#undef ALL_STEP
#undef LINE
#undef FOLD_FOUR
#undef PANELS
#undef FOLD_ONE
#undef G2_FOLD
#undef ALL_FOLD
