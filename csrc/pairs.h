/* Sums over given pairs of rows: private to the C core.
 *
 * Unlike correlate.h, which turns a block of events into a line and knows what is new,
 * these take any runs of rows, and values in any layout. How the sums are made depends on
 * the runs alone, and every element is computed by itself: layout, threads and the other
 * elements do not change a bit of it.
 */
#ifndef PARCORANA_PAIRS_H
#define PARCORANA_PAIRS_H

#include "paths.h"
#include "views.h"

/* Values: row i of element p at values[i * row + p * element]; element 0: one series for all. */
typedef struct {
    const void *values;
    int64_t row;
    int64_t element;
} pca_matrix;

enum {
    PCA_LINES,  /* long runs: along the time of one element */
    PCA_PANELS, /* short ones, and many: some elements side by side */
    PCA_DIRECT  /* hardly any pairs: in float64, where they are */
};

typedef struct {
    const pca_run *run;
    const int64_t *start; /* runs start[d] ... start[d + 1] - 1 are those of delay d */
    int64_t delays;
    int64_t rows;
    int64_t elements;
    pca_matrix past;   /* rows i of the runs */
    pca_matrix future; /* rows j */
    double *g2;        /* each may be NULL; delay d of element p at g2[d * delay + p * element] */
    double *ip;
    double *fut;
    int64_t delay;
    int64_t element;
    double sign;
    /* set by pca_prepare_pairs */
    int how;
    int same;     /* past and future are the same values, not just in the same memory */
    int64_t span; /* runs name no row from this one on */
} pca_pairs;

/* Elements in a panel: four vectors, on the widest code path */
#define PCA_MOST_IN_PANEL 64
/* Elements of events that are turned into series at once */
#define PCA_TURNED 32

typedef void pca_pairs_range(const pca_pairs *pairs, int64_t p0, int64_t p1, void *scratch);

/* Of one code path. */
typedef struct {
    pca_pairs_range *f32;
    pca_pairs_range *f64;
} pca_pairs_functions;

extern const pca_pairs_functions pca_pairs_generic;
#if defined(__x86_64__)
extern const pca_pairs_functions pca_pairs_v2;
extern const pca_pairs_functions pca_pairs_v3;
extern const pca_pairs_functions pca_pairs_v4;
#endif

/* Check runs and memory and decide how to sum; then the bytes of scratch that all threads need. */
pca_status pca_prepare_pairs(pca_pairs *pairs, int is_double);
size_t pca_pairs_scratch(const pca_pairs *pairs, int is_double, int threads);
pca_status pca_add_pairs(const pca_pairs *pairs, int is_double, int threads, char *scratch);

/* Sort the rows that have a counter by it; those that `is_new` marks (all for NULL) get
 * seq 0, the others -1. The arrays of `ev` have room for `rows`. PCA_REPEATED: a counter twice. */
size_t pca_sort_scratch(int64_t rows);
pca_status pca_sort_rows(const int64_t *T, int64_t rows, const uint8_t *is_new, pca_events *ev,
                         void *scratch);

/* groups.c: out[i * out_row + g * out_group] += sum of values[i, p] over the elements p of
 * group g; a group below 0 is in no sum. Scratch: groups * PCA_ROWS doubles for each thread. */
#define PCA_ROWS 16
pca_status pca_sum_groups_f32(const pca_matrix *v, int64_t rows, int64_t elements,
                              const int32_t *group, int32_t groups, double *out, int64_t out_row,
                              int64_t out_group, int threads, double *scratch);
pca_status pca_sum_groups_f64(const pca_matrix *v, int64_t rows, int64_t elements,
                              const int32_t *group, int32_t groups, double *out, int64_t out_row,
                              int64_t out_group, int threads, double *scratch);

/* included[k] = frame[index[k]], and back; `size` values in a frame. */
pca_status pca_gather_f32(const float *frame, int64_t size, const int64_t *index, int64_t n,
                          float *included);
pca_status pca_gather_f64(const double *frame, int64_t size, const int64_t *index, int64_t n,
                          double *included);
pca_status pca_scatter_f32(const float *included, int64_t step, const int64_t *index, int64_t n,
                           float *frame, int64_t size);
pca_status pca_scatter_f64(const double *included, int64_t step, const int64_t *index, int64_t n,
                           double *frame, int64_t size);

#endif
