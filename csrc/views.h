/* Where arrays lie in memory: private to the C core. */
#ifndef PARCORANA_VIEWS_H
#define PARCORANA_VIEWS_H

#include <stddef.h>
#include <stdint.h>

/* Value (i, j) has `size` bytes, which begin step[0] * i + step[1] * j bytes after `first`. */
typedef struct {
    const void *first;
    int64_t n[2];
    int64_t step[2]; /* multiples of `size` */
    int64_t size;
} pca_view;

/* Whether two values of the view overlap. */
int pca_folds(const pca_view *view);
/* Whether some memory is that of values of both. Exact where both have the same steps, or all steps have a common
 * divisor that tells them apart; else so is what lies between the values of the other one. */
int pca_share(const pca_view *a, const pca_view *b);
/* Whether writing to any of the first `written` views would change another one of them, or itself elsewhere; `which`
 * (or NULL) then says which two. */
int pca_tangled(const pca_view *view, int written, int views, int *which);

#endif
