/* Sums over the elements of each colour, of which delay curves are made: private to the C core. */
#ifndef PARCORANA_COLORS_H
#define PARCORANA_COLORS_H

#include "correlate.h"

/* Elements at a time, whose IP and IF stay in the second cache. */
enum { PCA_COLOR_TILE = 64 };

typedef struct {
    const int64_t *group; /* of each element's G2; -1: in no sum */
    const int64_t *fine;  /* of each element's IP and IF; NULL: each divides its own G2 */
    int64_t groups;
    int64_t fines;
    const double *counts; /* pairs of each delay; where there are none, IP and IF count as 0 */
    int64_t delays;
} pca_colors;

/* How many float64 the sums are: `delays` of each group in each table. With `fine`: G2, G2^2 of
 * each group, IP, IF, IP IF of each fine group. Else of each group: the excess of g2 over 1, its
 * square, how many elements have no g2, and 1 / IP of those that have. */
int64_t pca_color_sums(const pca_colors *colors);

/* Bytes of scratch for all threads. */
size_t pca_colors_scratch(const pca_colors *colors, const pca_plan *plan, int is_double, int threads);

/* sums += those of all elements. What `plan` describes, if it is not NULL, is added to IP and IF
 * aside, and changes no array: deferred sums (see pca_settle), or all of them (PCA_ENDS). */
void pca_sum_colors(const pca_colors *colors, const pca_plan *plan, const pca_arrays *arrays, int is_double,
                    int threads, char *scratch, double *sums);

/* IP and IF of `count` elements from p on, PCA_COLOR_TILE at most, with what the plan adds: into PCA_COLOR_TILE x
 * `delays` of each, one behind the other, and PCA_COLOR_TILE more that it needs. `scratch` is that of the plan. */
void pca_sum_aside(const pca_plan *plan, const pca_arrays *arrays, int is_double, int64_t p, int64_t count, double *ip,
                   void *scratch);

#endif
