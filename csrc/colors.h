/* Sums of a block's values over colours: private to the C core. */
#ifndef PARCORANA_COLORS_H
#define PARCORANA_COLORS_H

#include "parcorana.h"

/* Events that are summed together: one lane of a sum each, so that the result does not
 * depend on the width of vectors, nor on threads, which take turns at stretches. */
enum { PCA_STRETCH = 16, PCA_ACROSS = 64 };

/* sum[s][c][k] = sum of block[16 s + k][p] over the elements p with color[p] == c, for each
 * stretch s of 16 events; color -1 is in none. */
pca_status pca_color_sums_f32(const float *block, int64_t ld, int64_t events, int64_t elements,
                              const int32_t *color, int64_t colors, double *sum, int threads);
pca_status pca_color_sums_f64(const double *block, int64_t ld, int64_t events, int64_t elements,
                              const int32_t *color, int64_t colors, double *sum, int threads);

#endif
