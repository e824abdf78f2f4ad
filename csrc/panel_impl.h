/* A panel: the values of LANES elements, side by side at each position or event.
 * Included with REAL, NAME(x), VBYTES and TARGET defined. */

#define LANES ((int64_t)(VBYTES / sizeof(REAL)))

typedef REAL NAME(vec) __attribute__((vector_size(VBYTES), may_alias));
typedef REAL NAME(loose) __attribute__((vector_size(VBYTES), aligned(sizeof(REAL)), may_alias));
typedef REAL NAME(quad)
    __attribute__((vector_size(4 * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

#define VEC(p) (*(const NAME(vec) *)(p))
#define LOOSE(p) (*(const NAME(loose) *)(p))
#define QUAD(p) (*(NAME(quad) *)(p))
#define CQUAD(p) (*(const NAME(quad) *)(p))

/* The four rows of b are the four columns of a. */
#define TURN(QUADS, a0, a1, a2, a3, b0, b1, b2, b3)                                                  \
    do {                                                                                      \
        const QUADS ab = PCA_SHUFFLE(a0, a1, 0, 4, 1, 5), cd = PCA_SHUFFLE(a2, a3, 0, 4, 1, 5); \
        const QUADS AB = PCA_SHUFFLE(a0, a1, 2, 6, 3, 7), CD = PCA_SHUFFLE(a2, a3, 2, 6, 3, 7); \
        b0 = PCA_SHUFFLE(ab, cd, 0, 1, 4, 5);                                                 \
        b1 = PCA_SHUFFLE(ab, cd, 2, 3, 6, 7);                                                 \
        b2 = PCA_SHUFFLE(AB, CD, 0, 1, 4, 5);                                                 \
        b3 = PCA_SHUFFLE(AB, CD, 2, 3, 6, 7);                                                 \
    } while (0)

/* Columns of a panel's elements in the storage; lanes without an element repeat the last one. */
static inline void NAME(columns)(const REAL *x, int64_t ld, int64_t count, const REAL **column)
{
    for (int64_t e = 0; e < LANES; e++)
        column[e] = x + (e < count ? e : count - 1) * ld;
}

/* line[j + t][e] = column[e][i + t] */
TARGET static void NAME(lay)(const REAL *const *column, pca_run run, REAL *line)
{
    REAL *const to = line + run.j * LANES;
    int64_t t = 0;
    if (LANES >= 4)
        for (; t + 4 <= run.length; t += 4)
            for (int64_t e = 0; e < LANES; e += 4) {
                REAL *const at = to + t * LANES + e;
                TURN(NAME(quad), CQUAD(column[e] + run.i + t), CQUAD(column[e + 1] + run.i + t),
                     CQUAD(column[e + 2] + run.i + t), CQUAD(column[e + 3] + run.i + t), QUAD(at),
                     QUAD(at + LANES), QUAD(at + 2 * LANES), QUAD(at + 3 * LANES));
            }
    for (; t < run.length; t++)
        for (int64_t e = 0; e < LANES; e++)
            to[t * LANES + e] = column[e][run.i + t];
}

/* x[e][j + k] = fresh[i + k][e] */
TARGET static void NAME(keep)(const REAL *fresh, pca_run run, int64_t count, REAL *x, int64_t ld)
{
    const REAL *const from = fresh + run.i * LANES;
    int64_t k = 0;
    if (count == LANES && LANES >= 4)
        for (; k + 4 <= run.length; k += 4)
            for (int64_t e = 0; e < LANES; e += 4) {
                const REAL *const at = from + k * LANES + e;
                REAL *const to = x + e * ld + run.j + k;
                TURN(NAME(quad), CQUAD(at), CQUAD(at + LANES), CQUAD(at + 2 * LANES), CQUAD(at + 3 * LANES),
                     QUAD(to), QUAD(to + ld), QUAD(to + 2 * ld), QUAD(to + 3 * ld));
            }
    for (; k < run.length; k++)
        for (int64_t e = 0; e < count; e++)
            x[e * ld + run.j + k] = from[k * LANES + e];
}

/* Half the lanes, in float64. */
typedef REAL NAME(few) __attribute__((vector_size(VBYTES / 2), aligned(sizeof(REAL)), may_alias));
typedef double NAME(half) __attribute__((vector_size(VBYTES / 2 / sizeof(REAL) * sizeof(double)),
                                         aligned(sizeof(double)), may_alias));

/* Some code paths have their own: GCC 12 converts two values at a time. */
#ifdef WIDEN
#define LOW(p) ((NAME(half))WIDEN(p))
#else
#define LOW(p) __builtin_convertvector(*(const NAME(few) *)(p), NAME(half))
#endif
#define HIGH(p) LOW((p) + LANES / 2)
#define ADD_TO(to, low, high)                                                                 \
    do {                                                                                      \
        *(NAME(half) *)(to) += low;                                                           \
        *(NAME(half) *)((to) + LANES / 2) += high;                                            \
    } while (0)

/* to[e] += each lane's sum of n values, in float64. The order is part of the result. */
TARGET static void NAME(add)(const REAL *values, int64_t n, double *to)
{
    NAME(half) a = {0}, b = {0}, c = {0}, d = {0};
    for (; n >= 2; n -= 2, values += 2 * LANES) {
        a += LOW(values);
        b += HIGH(values);
        c += LOW(values + LANES);
        d += HIGH(values + LANES);
    }
    if (n) {
        a += LOW(values);
        b += HIGH(values);
    }
    ADD_TO(to, a + c, b + d);
}

/* The same of the values at n positions. */
TARGET static inline void NAME(add_at)(const REAL *values, const int64_t *position, int64_t n,
                                       double *to)
{
    NAME(half) a = {0}, b = {0}, c = {0}, d = {0};
    for (; n >= 2; n -= 2, position += 2) {
        const REAL *const one = values + position[0] * LANES, *const two = values + position[1] * LANES;
        a += LOW(one);
        b += HIGH(one);
        c += LOW(two);
        d += HIGH(two);
    }
    if (n) {
        a += LOW(values + position[0] * LANES);
        b += HIGH(values + position[0] * LANES);
    }
    ADD_TO(to, a + c, b + d);
}
