/* One code path for one type: included with REAL, NAME(x), VBYTES and TARGET defined. */

#define LANES ((int64_t)(VBYTES / sizeof(REAL)))
/* Products of one lane in one float32 sum: 16 roundings of 2^-24 each stay below 1e-6. */
#define CHUNK (16 * LANES)

typedef REAL NAME(vec) __attribute__((vector_size(VBYTES)));
typedef REAL NAME(loose) __attribute__((vector_size(VBYTES), aligned(sizeof(REAL)), may_alias));

#define LOAD(p) (*(const NAME(loose) *)(p))

#ifndef FOUR
/* The lanes' sum, in float64. The order is fixed: it is part of the result. */
TARGET static inline double NAME(sum)(const NAME(vec) *s)
{
    REAL lane[LANES];
    double half[LANES / 2];
    memcpy(lane, s, sizeof lane);
    for (int64_t k = 0; k < LANES / 2; k++)
        half[k] = (double)lane[k] + (double)lane[k + LANES / 2];
    for (int64_t n = LANES / 4; n > 0; n /= 2)
        for (int64_t k = 0; k < n; k++)
            half[k] += half[k + n];
    return half[0];
}
#define FOUR(a, b, c, d, out)                                                                 \
    do {                                                                                      \
        (out)[0] += NAME(sum)(&(a));                                                          \
        (out)[1] += NAME(sum)(&(b));                                                          \
        (out)[2] += NAME(sum)(&(c));                                                          \
        (out)[3] += NAME(sum)(&(d));                                                          \
    } while (0)
#endif

#define EACH_4(F) F(0) F(1) F(2) F(3)
#define EACH_12(F) EACH_4(F) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)
#define QUADS_4(F) F(0, 0, 1, 2, 3)
#define QUADS_12(F) QUADS_4(F) F(1, 4, 5, 6, 7) F(2, 8, 9, 10, 11)

#define BASE(k) const REAL *q##k = a + shift[k];
#define ZERO(k) NAME(vec) s##k = {0};
#define STEP(k) s##k += x * LOAD(q##k + t);
#define ADD(n, i, j, k, l) FOUR(s##i, s##j, s##k, s##l, out + 4 * (n));

/* out[k] += sum over t < length of n[t] a[t + shift[k]]; n is aligned and zero up to a
 * multiple of LANES. Several shifts at once hide the latency and share the load of n. */
#define SHIFTS(COUNT)                                                                         \
    TARGET static void NAME(shifts_##COUNT)(const REAL *n, const REAL *a,                     \
                                            const int64_t *shift, int64_t length, double *out) \
    {                                                                                         \
        EACH_##COUNT(BASE) for (int64_t c = 0; c < length; c += CHUNK)                        \
        {                                                                                     \
            const int64_t stop = c + CHUNK < length ? c + CHUNK : length;                     \
            EACH_##COUNT(ZERO) for (int64_t t = c; t < stop; t += LANES)                      \
            {                                                                                 \
                const NAME(vec) x = LOAD(n + t);                                              \
                EACH_##COUNT(STEP)                                                            \
            }                                                                                 \
            QUADS_##COUNT(ADD)                                                                \
        }                                                                                     \
    }
SHIFTS(12)
SHIFTS(4)

#define MBASE(k)                                                                              \
    const REAL *q##k = a + shift[k];                                                          \
    const REAL *h##k = has + shift[k];
#define MZERO(k) NAME(vec) s##k = {0}, p##k = {0}, f##k = {0};
#define MSTEP(k)                                                                              \
    {                                                                                         \
        const NAME(vec) y = LOAD(q##k + t);                                                   \
        s##k += x * y;                                                                        \
        p##k += e * y;                                                                        \
        f##k += x * LOAD(h##k + t);                                                           \
    }

/* The same for four shifts, and the sums of a over present n and of n over present a. */
TARGET static void NAME(masked_4)(const REAL *n, const REAL *a, const REAL *is_new,
                                  const REAL *has, const int64_t *shift, int64_t length,
                                  double *out)
{
    EACH_4(MBASE)
    for (int64_t c = 0; c < length; c += CHUNK) {
        const int64_t stop = c + CHUNK < length ? c + CHUNK : length;
        EACH_4(MZERO)
        for (int64_t t = c; t < stop; t += LANES) {
            const NAME(vec) x = LOAD(n + t), e = LOAD(is_new + t);
            EACH_4(MSTEP)
        }
        FOUR(s0, s1, s2, s3, out);
        FOUR(p0, p1, p2, p3, out + 4);
        FOUR(f0, f1, f2, f3, out + 8);
    }
}

/* Take the next shifts, `most` or four; what is not there is the last one again. */
static inline int64_t NAME(take)(const pca_plan *plan, int64_t k, int64_t most, int64_t *shift)
{
    const int64_t left = plan->shifts - k;
    const int64_t count = left >= most ? most : 4;
    for (int64_t j = 0; j < count; j++)
        shift[j] = plan->shift[j < left ? k + j : plan->shifts - 1];
    return count;
}

TARGET static void NAME(all_shifts)(const pca_plan *plan, const REAL *n, const REAL *a,
                                    double *g2, pca_ahead *ahead)
{
    const int64_t length = plan->end - plan->begin, shifts = plan->shifts;
    int64_t shift[12];
    for (int64_t k = 0; k < shifts;) {
        double sum[12] = {0};
        const int64_t count = NAME(take)(plan, k, 12, shift);
        pca_fetch(ahead, count);
        if (count == 12)
            NAME(shifts_12)(n, a, shift, length, sum);
        else
            NAME(shifts_4)(n, a, shift, length, sum);
        for (int64_t j = 0; j < count && k + j < shifts; j++)
            g2[plan->column[k + j]] += plan->sign * sum[j];
        k += count;
    }
}

TARGET static void NAME(all_masked)(const pca_plan *plan, const REAL *n, const REAL *a,
                                    const REAL *is_new, const REAL *has, double *g2, double *ip,
                                    double *fut, pca_ahead *ahead)
{
    const int64_t length = plan->end - plan->begin;
    int64_t shift[4];
    for (int64_t k = 0; k < plan->shifts; k += 4) {
        double sum[12] = {0};
        NAME(take)(plan, k, 4, shift);
        pca_fetch(ahead, 4);
        NAME(masked_4)(n, a, is_new, has, shift, length, sum);
        for (int64_t j = 0; j < 4 && k + j < plan->shifts; j++) {
            const int64_t column = plan->column[k + j];
            /* a shift forwards makes N the earlier event of the pair */
            const int later = shift[j] < 0;
            g2[column] += plan->sign * sum[j];
            ip[column] += plan->sign * sum[j + (later ? 4 : 8)];
            fut[column] += plan->sign * sum[j + (later ? 8 : 4)];
        }
    }
}

/* What missing pulses take away: see Deferred sums in docs/architecture.md. */
TARGET static void NAME(missing)(const pca_plan *plan, const REAL *n, const REAL *line,
                                 double *ip, double *fut)
{
    const int64_t *miss = plan->missing;
    for (int64_t k = 0; k < plan->shifts; k++) {
        const int64_t d = -plan->shift[k], column = plan->column[k];
        double past = 0, future = 0;
        for (int64_t j = plan->new_first[0]; j < plan->new_first[1]; j++)
            past += (double)line[miss[j] - d];
        for (int64_t j = plan->lo[k]; j < plan->hi[k]; j++)
            future += (double)n[miss[j] + d - plan->begin];
        ip[column] -= past;
        fut[column] -= future;
    }
}

TARGET static void NAME(given_runs)(const pca_plan *plan, const REAL *line, double *g2,
                                    double *ip, double *fut)
{
    for (int64_t d = 0; d < plan->delays; d++) {
        double sum_g2 = 0, sum_ip = 0, sum_fut = 0;
        for (int64_t r = plan->start[d]; r < plan->start[d + 1]; r++) {
            const pca_run run = plan->run[r];
            const REAL *a = line + run.i, *b = line + run.j;
            for (int32_t k = 0; k < run.length; k++) {
                const double u = (double)a[k], v = (double)b[k];
                sum_g2 += u * v;
                sum_ip += u;
                sum_fut += v;
            }
        }
        g2[d] += plan->sign * sum_g2;
        if (plan->mode != PCA_ONLY_G2) {
            ip[d] += plan->sign * sum_ip;
            fut[d] += plan->sign * sum_fut;
        }
    }
}

/* turned[e][k] = block[from[k]][p + e] */
TARGET static void NAME(turn)(const pca_plan *plan, const REAL *block, int64_t ld_block,
                              int64_t p, int64_t count, REAL *turned, int64_t ld)
{
    typedef REAL quad __attribute__((vector_size(4 * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
    int64_t k = 0;
    if (count == PCA_TILE)
        for (; k + 4 <= plan->n_new; k += 4) {
            const REAL *row[4];
            for (int j = 0; j < 4; j++)
                row[j] = block + plan->from[k + j] * ld_block + p;
            for (int64_t e = 0; e < PCA_TILE; e += 4) {
                const quad a = *(const quad *)(row[0] + e), b = *(const quad *)(row[1] + e);
                const quad c = *(const quad *)(row[2] + e), d = *(const quad *)(row[3] + e);
                const quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
                const quad cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
                const quad AB = __builtin_shufflevector(a, b, 2, 6, 3, 7);
                const quad CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
                REAL *to = turned + e * ld + k;
                *(quad *)to = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
                *(quad *)(to + ld) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
                *(quad *)(to + 2 * ld) = __builtin_shufflevector(AB, CD, 0, 1, 4, 5);
                *(quad *)(to + 3 * ld) = __builtin_shufflevector(AB, CD, 2, 3, 6, 7);
            }
        }
    for (; k < plan->n_new; k++)
        for (int64_t e = 0; e < count; e++)
            turned[e * ld + k] = block[plan->from[k] * ld_block + p + e];
}

TARGET static double NAME(total)(const REAL *a, int64_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < n; k++)
        sum += (double)a[k];
    return sum;
}

TARGET static double NAME(squares)(const REAL *a, int64_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < n; k++)
        sum += (double)a[k] * (double)a[k];
    return sum;
}

static inline int64_t NAME(rounded)(int64_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

TARGET static void NAME(correlate)(const pca_plan *plan, const pca_arrays *arrays, int64_t p0,
                                   int64_t p1, void *scratch)
{
    const int64_t span = plan->end - plan->begin, stretch = NAME(rounded)(span);
    const int64_t whole = NAME(rounded)(plan->length + 2 * plan->pad + LANES) + 16;
    const int64_t ld = NAME(rounded)(plan->n_new) + 16; /* off powers of two: cache sets */
    REAL *const line = (REAL *)scratch + NAME(rounded)(plan->pad);
    REAL *const n = (REAL *)scratch + NAME(rounded)(whole + 2 * LANES);
    REAL *const has = n + stretch + LANES, *const is_new = has + whole + 2 * LANES;
    REAL *const turned = is_new + stretch + LANES;
    REAL *const present = has + NAME(rounded)(plan->pad);
    const REAL *block = arrays->block;
    REAL *x = arrays->x;
    pca_ahead ahead = {0};

    /* Positions without a value stay zero for every element. */
    memset(scratch, 0, (size_t)((REAL *)turned - (REAL *)scratch) * sizeof(REAL));
    if (plan->mode == PCA_MASKED && plan->shifts) {
        for (int64_t t = 0; t < plan->length; t++)
            present[t] = plan->present[t];
        for (int64_t t = 0; t < span; t++)
            is_new[t] = plan->is_new[t];
    }
    for (int64_t p = p0; p < p1; p++) {
        const int64_t e = (p - p0) % PCA_TILE;
        REAL *const fresh = turned + e * ld;
        REAL *const column = x + p * arrays->ld;
        double *g2 = arrays->g2 + p * plan->delays;
        double *ip = arrays->ip + p * plan->delays, *fut = arrays->fut + p * plan->delays;
        if (e == 0 && plan->n_new)
            NAME(turn)(plan, block, arrays->ld_block, p, p1 - p < PCA_TILE ? p1 - p : PCA_TILE,
                       turned, ld);
        if (e == 0 && plan->n_new && p + PCA_TILE < p1)
            pca_begin_tile(&ahead, plan, (const char *)(block + p + PCA_TILE),
                           (size_t)arrays->ld_block * sizeof(REAL));
        for (int64_t r = 0; r < plan->n_old; r++)
            memcpy(line + plan->old[r].j, column + plan->old[r].i,
                   (size_t)plan->old[r].length * sizeof(REAL));
        for (int64_t r = 0; r < plan->n_fresh; r++) {
            const pca_run run = plan->fresh[r];
            memcpy(line + run.j, fresh + run.i, (size_t)run.length * sizeof(REAL));
            if (!plan->all_new && plan->shifts)
                memcpy(n + run.j - plan->begin, fresh + run.i,
                       (size_t)run.length * sizeof(REAL));
        }
        if (plan->all_new && plan->shifts)
            memcpy(n, line + plan->begin, (size_t)span * sizeof(REAL));
        if (p + 1 < p1)
            pca_begin_ahead(&ahead, plan, (const char *)(column + arrays->ld), sizeof(REAL));
        if (plan->shifts && plan->mode == PCA_MASKED)
            NAME(all_masked)(plan, n, line + plan->begin, is_new, present + plan->begin, g2, ip,
                             fut, &ahead);
        else if (plan->shifts)
            NAME(all_shifts)(plan, n, line + plan->begin, g2, &ahead);
        if (plan->mode == PCA_DEFERRED) {
            arrays->total[p] += NAME(total)(fresh, plan->n_new);
            if (plan->missing)
                NAME(missing)(plan, n, line, ip, fut);
        }
        if (plan->start)
            NAME(given_runs)(plan, line, g2, ip, fut);
        if (arrays->energy) {
            arrays->energy[p] += NAME(squares)(fresh, plan->n_new);
        }
        for (int64_t r = 0; r < plan->n_keep; r++)
            memcpy(column + plan->keep[r].j, fresh + plan->keep[r].i,
                   (size_t)plan->keep[r].length * sizeof(REAL));
    }
}

#undef FOUR
#undef LANES
#undef CHUNK
#undef LOAD
#undef EACH_4
#undef EACH_12
#undef QUADS_4
#undef QUADS_12
#undef BASE
#undef ZERO
#undef STEP
#undef ADD
#undef SHIFTS
#undef MBASE
#undef MZERO
#undef MSTEP
