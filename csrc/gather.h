/* From a detector's frames to the rows that travel: the included elements, cast, and checked. */
#ifndef PARCORANA_GATHER_H
#define PARCORANA_GATHER_H

#include <stdint.h>

/* Types of values. The order is that of TYPES in pyx/_move.pyx. */
enum {
    PCA_I8,
    PCA_U8,
    PCA_I16,
    PCA_U16,
    PCA_F16, /* only ever copied */
    PCA_I32,
    PCA_U32,
    PCA_F32,
    PCA_I64,
    PCA_U64,
    PCA_F64,
    PCA_TYPES
};

/* All bits of the exponent set: infinite, or not a number. Tested as integers, which
 * compilers turn into vector code whatever they may assume of floating point. */
#define BROKEN_F16(b) (((b) & 0x7c00U) == 0x7c00U)
#define BROKEN_F32(b) (((b) & 0x7f800000U) == 0x7f800000U)
#define BROKEN_F64(b) (((b) & 0x7ff0000000000000U) == 0x7ff0000000000000U)

/* Where the elements of one receiver go. */
typedef struct {
    void *rows;       /* receiver's rows, one for each event */
    int64_t ld;       /* elements from row to row */
    int64_t first;    /* its stretches of the frame: first, first + 1, ..., */
    int64_t last;     /* up to and without last */
} pca_receiver;

int32_t pca_can_cast(int from, int to);

int64_t pca_gather(const char *frames, int64_t stride, int64_t events, int from,
                   const int64_t *stretch, const pca_receiver *receiver, int64_t receivers, int to,
                   int64_t row, int check, uint8_t *bad);

void pca_widen(char *rows, int from, int64_t ld, int to, int64_t ld_to, int64_t events,
               int64_t elements, int threads);

/* gather_sums.c: the sum of a frame's elements; that of floats is added up in lanes. */
enum { PCA_LANES = 8 };
typedef struct {
    double lane[PCA_LANES];
    int64_t low, high; /* of integers: low + high * 2^32 */
} pca_sum;

int32_t pca_can_sum(int type);

void pca_sums(const char *pieces, int64_t stride, int64_t events, int type, int64_t first,
              int64_t size, const int64_t *stretch, int64_t stretches, pca_sum *sums);

void pca_totals(const pca_sum *sums, int64_t events, double *totals);

/* adjust.c */
void pca_adjust_f32(float *rows, int64_t ld, const int64_t *row, int64_t n, int64_t elements,
                    float saturated, int8_t *marks, float least, int raise, int threads);
void pca_adjust_f64(double *rows, int64_t ld, const int64_t *row, int64_t n, int64_t elements,
                    double saturated, int8_t *marks, double least, int raise, int threads);

#endif
