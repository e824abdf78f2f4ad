/* Sums of products of shifted values, for several shifts at once, and the way of sums to a result. */

typedef double NAME(four) __attribute__((vector_size(32), aligned(sizeof(double)), may_alias));

#define FOUR(p) (*(NAME(four) *)(p))

#define EACH_4(F) F(0) F(1) F(2) F(3)
#define EACH_8(F) EACH_4(F) F(4) F(5) F(6) F(7)
#define EACH_12(F) EACH_8(F) F(8) F(9) F(10) F(11)

#define BASE(k) const REAL *const q##k = from[k];
#define ZERO(k) NAME(vec) s##k = {0};
#define FIRST(k) NAME(vec) s##k = x * VEC(q##k + t);
#define STEP(k) s##k += y * VEC(q##k + t);
#define NOTHING(k) *(NAME(vec) *)u[k] = (NAME(vec)){0};
#define SAVE(k) *(NAME(vec) *)u[k] += s##k;

/* sum[k][lane] += sum over t < length of n[t] from[k][t], for COUNT shifts at once, which hides
 * the latency of multiply-adds and shares the load of n. */
#define SHIFTS(COUNT)                                                                         \
    TARGET static void NAME(shifts_##COUNT)(const REAL *n, const REAL *const *from,           \
                                            int64_t length, double *sum, pca_ahead *ahead)    \
    {                                                                                         \
        REAL u[COUNT][LANES] __attribute__((aligned(VBYTES)));                                \
        const int64_t end = length * LANES;                                                   \
        EACH_##COUNT(BASE) for (int64_t t = 0; t < end;)                                      \
        {                                                                                     \
            const int64_t last = t + PCA_CHUNK * LANES < end ? t + PCA_CHUNK * LANES : end;   \
            pca_fetch(ahead);                                                                 \
            EACH_##COUNT(NOTHING) while (t + PCA_INNER * LANES <= last)                       \
            {                                                                                 \
                const NAME(vec) x = VEC(n + t);                                               \
                EACH_##COUNT(FIRST) const int64_t stop = t + PCA_INNER * LANES;               \
                UNROLL for (t += LANES; t < stop; t += LANES)                                 \
                {                                                                             \
                    const NAME(vec) y = VEC(n + t);                                           \
                    EACH_##COUNT(STEP)                                                        \
                }                                                                             \
                EACH_##COUNT(SAVE)                                                            \
            }                                                                                 \
            if (t < last) {                                                                   \
                EACH_##COUNT(ZERO) for (; t < last; t += LANES)                               \
                {                                                                             \
                    const NAME(vec) y = VEC(n + t);                                           \
                    EACH_##COUNT(STEP)                                                        \
                }                                                                             \
                EACH_##COUNT(SAVE)                                                            \
            }                                                                                 \
            for (int64_t k = 0; k < COUNT; k++)                                               \
                ADD_TO(sum + k * LANES, LOW(u[k]), HIGH(u[k]));                               \
        }                                                                                     \
    }
#define UNROLL _Pragma("GCC unroll 8")
SHIFTS(4)

/* out[lane * ld + column[k]] += sign * sum[k][lane] */
TARGET static void NAME(scatter)(const int64_t *column, int64_t columns, int64_t ld,
                                 const double *sum, double sign, int64_t count, double *out)
{
    int64_t k = 0;
    if (LANES >= 4 && count == LANES)
        for (; k + 4 <= columns && column[k + 3] == column[k] + 3; k += 4)
            for (int64_t e = 0; e < LANES; e += 4) {
                const double *const from = sum + k * LANES + e;
                double *const to = out + e * ld + column[k];
                NAME(four) a, b, c, d;
                TURN(NAME(four), FOUR(from), FOUR(from + LANES), FOUR(from + 2 * LANES),
                     FOUR(from + 3 * LANES), a, b, c, d);
                FOUR(to) += sign * a;
                FOUR(to + ld) += sign * b;
                FOUR(to + 2 * ld) += sign * c;
                FOUR(to + 3 * ld) += sign * d;
            }
    for (; k < columns; k++)
        for (int64_t e = 0; e < count; e++)
            out[e * ld + column[k]] += sign * sum[k * LANES + e];
}
