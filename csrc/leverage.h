/* How much a delay curve would change without one of its elements: private to the C core. */
#ifndef PARCORANA_LEVERAGE_H
#define PARCORANA_LEVERAGE_H

#include "colors.h"

/* Without an element with the sums g2, ip, fut a curve would change, at each delay, by
 *
 *     rest + factor (G2 - g2) / ((IP - ip) (IF - fut))
 *
 * and by 0 where nothing would be left to divide by. All but `group` and `color` are groups x delays. */
typedef struct {
    const int64_t *group; /* of each element; -1: it is in no curve */
    const int64_t *color; /* of each group */
    const double *g2;
    const double *ip;
    const double *fut;
    const double *factor;
    const double *rest;
    const double *weight; /* what a change at this delay counts, beside those at others */
    int64_t colors;
    int64_t delays;
    int64_t most; /* elements that are listed of each colour */
} pca_leverage;

/* The elements of a colour are listed from the largest of |change| x weight on, at the delay where that is largest; of
 * those that are alike to the digits of a float, in their order: the last digits depend on how the work is divided. */
typedef struct {
    double *sum;      /* colors x delays, += changes */
    double *square;   /* colors x delays, += changes^2 */
    double *score;    /* colors x most: the largest |change| x weight, above 0 */
    int64_t *element; /* colors x most */
    double *change;   /* colors x most x delays */
    double *largest;  /* elements: the change where |change| x weight is largest; or NULL */
    int32_t *delay;   /* elements: where that is */
} pca_pulls;

/* Add the changes of an element to those of its colour, and return the largest |change| x weight: by code path. */
typedef double pca_find_changes(const pca_leverage *c, int64_t group, const double *restrict g2,
                                const double *restrict ip, const double *restrict fut, double *restrict change,
                                double *restrict sum, double *restrict square);
pca_find_changes pca_find_changes_v3;

/* Bytes of scratch for all threads. */
size_t pca_leverage_scratch(const pca_leverage *levers, const pca_plan *plan, int is_double, int threads);

/* `plan` and `arrays` are as pca_sum_colors takes them; of `pulls` the scores begin as 0. */
void pca_find_pulls(const pca_leverage *levers, const pca_plan *plan, const pca_arrays *arrays, int is_double,
                    int threads, char *scratch, const pca_pulls *pulls);

#endif
