#include <string.h>

#include "gather.h"
#include "threads.h"

/* Each returns whether all values, as written, are finite: what does not fit into float has
 * become infinite. */
typedef int (*pca_cast)(const void *from, void *to, int64_t n);

#define COPY(name, WORD)                                                                         \
    static int name(const void *from, void *to, int64_t n)                                       \
    {                                                                                            \
        memcpy(to, from, (size_t)n * sizeof(WORD));                                              \
        return 1;                                                                                \
    }
COPY(copy_1, uint8_t)
COPY(copy_2, uint16_t)
COPY(copy_4, uint32_t)
COPY(copy_8, uint64_t)

#define CHECKED_COPY(name, WORD, BROKEN)                                                         \
    static int name(const void *from, void *to, int64_t n)                                       \
    {                                                                                            \
        const WORD *restrict a = from;                                                           \
        WORD *restrict b = to;                                                                   \
        WORD broken = 0;                                                                         \
        for (int64_t k = 0; k < n; k++) {                                                        \
            b[k] = a[k];                                                                         \
            broken = (WORD)(broken | BROKEN(a[k]));                                              \
        }                                                                                        \
        return !broken;                                                                          \
    }
CHECKED_COPY(copy_f16, uint16_t, BROKEN_F16)
CHECKED_COPY(copy_f32, uint32_t, BROKEN_F32)
CHECKED_COPY(copy_f64, uint64_t, BROKEN_F64)

#define CAST(name, FROM, TO, WORD, BROKEN)                                                       \
    static int name(const void *from, void *to, int64_t n)                                       \
    {                                                                                            \
        const FROM *restrict a = from;                                                           \
        TO *restrict b = to;                                                                     \
        WORD broken = 0;                                                                         \
        for (int64_t k = 0; k < n; k++) {                                                        \
            const TO value = (TO)a[k];                                                           \
            WORD bits;                                                                           \
            memcpy(&bits, &value, sizeof bits);                                                  \
            b[k] = value;                                                                        \
            broken |= (WORD)BROKEN(bits);                                                        \
        }                                                                                        \
        return !broken;                                                                          \
    }
#define WHOLE(b) 0
#define CASTS(name, FROM)                                                                        \
    CAST(name##_f32, FROM, float, uint32_t, WHOLE) CAST(name##_f64, FROM, double, uint64_t, WHOLE)
CASTS(i8, int8_t)
CASTS(u8, uint8_t)
CASTS(i16, int16_t)
CASTS(u16, uint16_t)
CASTS(i32, int32_t)
CASTS(u32, uint32_t)
CASTS(i64, int64_t)
CASTS(u64, uint64_t)
CAST(f32_f64, float, double, uint64_t, BROKEN_F64)
CAST(f64_f32, double, float, uint32_t, BROKEN_F32)

static const int SIZE[PCA_TYPES] = {1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8};
static const pca_cast SAME[PCA_TYPES] = {copy_1, copy_1, copy_2,   copy_2, copy_f16, copy_4,
                                         copy_4, copy_f32, copy_8, copy_8, copy_f64};
static const pca_cast TO_F32[PCA_TYPES] = {i8_f32,  u8_f32, i16_f32, u16_f32, 0,      i32_f32,
                                           u32_f32, 0,      i64_f32, u64_f32, f64_f32};
static const pca_cast TO_F64[PCA_TYPES] = {i8_f64,  u8_f64,  i16_f64, u16_f64, 0, i32_f64,
                                           u32_f64, f32_f64, i64_f64, u64_f64, 0};

static pca_cast cast_of(int from, int to)
{
    if (from == to)
        return SAME[from];
    return to == PCA_F32 ? TO_F32[from] : to == PCA_F64 ? TO_F64[from] : 0;
}

int32_t pca_can_cast(int from, int to)
{
    return cast_of(from, to) != 0;
}

/* Write the included elements of `events` frames, `stride` bytes apart, into the rows of all
 * receivers, the first into row `row`. The elements are given as stretches of the frame: first
 * element and length of each, two numbers. With `check`, an event that has values that are not
 * finite is marked in bad[] and gets no row. Returns the next free row. */
int64_t pca_gather(const char *frames, int64_t stride, int64_t events, int from,
                   const int64_t *stretch, const pca_receiver *receiver, int64_t receivers, int to,
                   int64_t row, int check, uint8_t *bad)
{
    const pca_cast cast = cast_of(from, to);
    for (int64_t k = 0; k < events; k++) {
        const char *frame = frames + k * stride;
        int good = 1;
        for (int64_t w = 0; w < receivers; w++) {
            char *out = (char *)receiver[w].rows + row * receiver[w].ld * SIZE[to];
            for (int64_t s = receiver[w].first; s < receiver[w].last; s++) {
                const int64_t length = stretch[2 * s + 1];
                good &= cast(frame + stretch[2 * s] * SIZE[from], out, length);
                out += length * SIZE[to];
            }
        }
        good |= !check;
        bad[k] = (uint8_t)!good;
        row += good;
    }
    return row;
}

/* Cast one row into a place that begins where the row does. */
static void widen_row(pca_cast cast, char *row, int64_t from, int64_t to, int64_t elements)
{
    enum { PIECE = 256 };
    char piece[PIECE * 8];
    for (int64_t k = (elements - 1) / PIECE * PIECE; k >= 0; k -= PIECE) {
        const int64_t n = elements - k < PIECE ? elements - k : PIECE;
        memcpy(piece, row + k * from, (size_t)(n * from));
        cast(piece, row + k * to, n);
    }
}

/* Cast rows in place into a type at least twice as large. The second half of the rows goes
 * where none of them lies, then the second half of the rest, and so on. */
void pca_widen(char *rows, int from, int64_t ld, int to, int64_t ld_to, int64_t events,
               int64_t elements, int threads)
{
    const pca_cast cast = cast_of(from, to);
    const int64_t step = ld * SIZE[from], step_to = ld_to * SIZE[to];
    (void)threads; /* unused without OpenMP */
    while (events > 1) {
        const int64_t half = (events + 1) / 2;
#pragma omp parallel for num_threads(threads) schedule(static) if (pca_threads(threads) > 1)
        for (int64_t k = half; k < events; k++)
            cast(rows + k * step, rows + k * step_to, elements);
        events = half;
    }
    if (events)
        widen_row(cast, rows, SIZE[from], SIZE[to], elements);
}
