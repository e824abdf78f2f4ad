#include <string.h>

#include "gather.h"

/* Integers: of 8 bytes the lower and the upper halves apart, so that no sum wraps. */
#define WHOLE_SUM(name, TYPE)                                                                    \
    static void name(const void *frame, int64_t begin, int64_t end, int64_t offset, pca_sum *sum)  \
    {                                                                                            \
        const TYPE *restrict x = frame;                                                          \
        int64_t total = 0;                                                                       \
        (void)offset; /* their order does not matter */                                          \
        for (int64_t k = begin; k < end; k++)                                                    \
            total += x[k];                                                                       \
        sum->low += total;                                                                       \
    }
WHOLE_SUM(sum_i8, int8_t)
WHOLE_SUM(sum_u8, uint8_t)
WHOLE_SUM(sum_i16, int16_t)
WHOLE_SUM(sum_u16, uint16_t)
WHOLE_SUM(sum_i32, int32_t)
WHOLE_SUM(sum_u32, uint32_t)

#define LONG_SUM(name, TYPE)                                                                     \
    static void name(const void *frame, int64_t begin, int64_t end, int64_t offset, pca_sum *sum)  \
    {                                                                                            \
        const TYPE *restrict x = frame;                                                          \
        int64_t low = 0, high = 0;                                                               \
        (void)offset;                                                                            \
        for (int64_t k = begin; k < end; k++) {                                                  \
            low += (int64_t)((uint64_t)x[k] & 0xffffffffU);                                      \
            high += (int64_t)(x[k] >> 32);                                                       \
        }                                                                                        \
        sum->low += low;                                                                         \
        sum->high += high;                                                                       \
    }
LONG_SUM(sum_i64, int64_t)
LONG_SUM(sum_u64, uint64_t)

/* Floats: an element's place in the whole frame tells its lane, so that the rounding does not
 * depend on how frame and mask come in pieces. */
#define FLOAT_SUM(name, TYPE)                                                                    \
    static void name(const void *frame, int64_t begin, int64_t end, int64_t offset, pca_sum *sum)  \
    {                                                                                            \
        const TYPE *restrict x = frame;                                                          \
        double lane[PCA_LANES];                                                                  \
        int64_t k = begin;                                                                       \
        memcpy(lane, sum->lane, sizeof lane);                                                    \
        for (; k < end && (k + offset) % PCA_LANES; k++)                                         \
            lane[(k + offset) % PCA_LANES] += x[k];                                              \
        for (; k + PCA_LANES <= end; k += PCA_LANES)                                             \
            for (int j = 0; j < PCA_LANES; j++)                                                  \
                lane[j] += x[k + j];                                                             \
        for (; k < end; k++)                                                                     \
            lane[(k + offset) % PCA_LANES] += x[k];                                              \
        memcpy(sum->lane, lane, sizeof lane);                                                    \
    }
FLOAT_SUM(sum_f32, float)
FLOAT_SUM(sum_f64, double)

typedef void (*pca_add)(const void *, int64_t, int64_t, int64_t, pca_sum *);
static const pca_add ADD[PCA_TYPES] = {sum_i8,  sum_u8,  sum_i16, sum_u16, 0,      sum_i32,
                                       sum_u32, sum_f32, sum_i64, sum_u64, sum_f64};

int32_t pca_can_sum(int type)
{
    return ADD[type] != 0;
}

/* Return the first of increasing stretches that ends behind a place. */
static int64_t first_behind(const int64_t *stretch, int64_t stretches, int64_t place)
{
    int64_t low = 0, high = stretches;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (stretch[2 * middle] + stretch[2 * middle + 1] > place)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Add up elements of `events` pieces of frames, `stride` bytes apart. `first` is the place of a
 * piece's first element in the whole frame, `size` how many it has; the elements are given as
 * stretches of the whole frame, increasing: first element and length of each. */
void pca_sums(const char *pieces, int64_t stride, int64_t events, int type, int64_t first,
              int64_t size, const int64_t *stretch, int64_t stretches, pca_sum *sums)
{
    const int64_t begin = first_behind(stretch, stretches, first);
    for (int64_t k = 0; k < events; k++)
        for (int64_t s = begin; s < stretches && stretch[2 * s] < first + size; s++) {
            const int64_t from = stretch[2 * s] - first, to = from + stretch[2 * s + 1];
            ADD[type](pieces + k * stride, from > 0 ? from : 0, to < size ? to : size, first, &sums[k]);
        }
}

/* Add up what was added up apart. */
void pca_totals(const pca_sum *sums, int64_t events, double *totals)
{
    for (int64_t k = 0; k < events; k++) {
        double lane[PCA_LANES];
        memcpy(lane, sums[k].lane, sizeof lane);
        for (int step = PCA_LANES / 2; step; step /= 2)
            for (int j = 0; j < step; j++)
                lane[j] += lane[j + step];
        totals[k] = lane[0] + ((double)sums[k].high * 4294967296.0 + (double)sums[k].low);
    }
}
