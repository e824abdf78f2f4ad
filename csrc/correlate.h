/* Correlating the series of one element after the other: private to the C core.
 *
 * A block of events is described once, in positions of a line: time, cut to what the
 * block needs, in units of the smallest step between pulses. For each element the line
 * is filled with the values that it has, zero where a pulse is missing, and everything
 * is computed while the line is in the first cache. Pairs at a delay are then two
 * stretches of the line, shifted; where that would be wasteful (few events over a
 * long time) or not exact (an event left before the other one entered) they are runs
 * of positions, and summed one run at a time.
 */
#ifndef PARCORANA_CORRELATE_H
#define PARCORANA_CORRELATE_H

#include "parcorana.h"

/* What is computed beside G2. */
enum {
    PCA_ONLY_G2 = 0,
    PCA_MASKED = 1,  /* IP and IF of every pair, by lines of ones and zeros */
    PCA_DEFERRED = 2 /* total += new; IP and IF get what missing pulses take away */
};

typedef struct {
    /* the line */
    int64_t pad;    /* zeros kept before and after it: at least the largest shift */
    int64_t length;
    const pca_run *old; /* row i of the storage goes to position j */
    int64_t n_old;
    const int64_t *from; /* row of the block that the k-th new event, by time, has */
    int64_t n_new;
    const pca_run *fresh; /* new events i ... go to positions j ... */
    int64_t n_fresh;
    const pca_run *keep; /* new events i ... go to rows j ... of the storage at the end */
    int64_t n_keep;
    /* shifted stretches: sum over begin <= t < end of N[t] A[t + shift] */
    int64_t begin;
    int64_t end;
    int32_t all_new; /* N is all of the line there, not new events only */
    int32_t mode;
    const int64_t *shift;
    const int64_t *column; /* of the result, for each shift */
    int64_t shifts;
    const uint8_t *present; /* PCA_MASKED: 1 where the line has a value ... */
    const uint8_t *is_new;  /* ... and where N has one */
    /* PCA_DEFERRED: missing pulses */
    const int64_t *missing; /* positions, increasing */
    const int64_t *new_first; /* missing[new_first[0]] ... are within begin ... end */
    const int64_t *lo;        /* missing[lo[k]] ... missing[hi[k] - 1] - shift[k] are, too */
    const int64_t *hi;
    /* pairs given as runs of positions, for all columns */
    const pca_run *run;
    const int64_t *start; /* NULL: none */
    int64_t delays;       /* columns of the result */
    double sign;
} pca_plan;

typedef struct {
    void *x;           /* storage: element p at x + p * ld */
    int64_t ld;
    const void *block; /* events x elements: event k at block + k * ld_block */
    int64_t ld_block;
    int64_t elements;
    double *g2; /* elements x delays */
    double *ip;
    double *fut;
    double *total;  /* PCA_DEFERRED: elements */
    double *energy; /* += squares of the new values, or NULL */
} pca_arrays;

typedef void pca_correlate_range(const pca_plan *plan, const pca_arrays *arrays, int64_t p0,
                                 int64_t p1, void *scratch);

/* One code path: the same functions for another set of instructions. */
typedef struct {
    const char *name;
    int (*runs_here)(void);
    pca_correlate_range *f32;
    pca_correlate_range *f64;
} pca_path;

extern const pca_path pca_path_generic;
#if defined(__x86_64__)
extern const pca_path pca_path_v3;
extern const pca_path pca_path_v4;
#endif

const char *pca_path_name(int n);
const char *pca_chosen_path(void);
pca_status pca_choose_path(const char *name);
size_t pca_scratch(const pca_plan *plan, size_t itemsize);
pca_status pca_correlate(const pca_plan *plan, const pca_arrays *arrays, int is_double,
                         int threads, char *scratch);
void pca_count_shifts(const uint8_t *is_new, const uint8_t *present, int64_t length,
                      int64_t begin, int64_t end, const int64_t *shift, int64_t shifts,
                      int64_t *count);

/* sums.c: of stored rows, no new events; shifts are -d with increasing d.
 * PCA_DEFER   ip += tail                      before blocks in mode PCA_DEFERRED
 * PCA_SETTLE  ip += total - tail, fut += total; total = 0           after them
 * PCA_STORED  ip, fut += the sums over the pairs of all stored rows
 * where tail is the sum over the last d positions. */
enum { PCA_DEFER = 0, PCA_SETTLE = 1, PCA_STORED = 2 };
pca_status pca_sums_f32(const pca_plan *plan, const pca_arrays *arrays, int what, int threads,
                        char *scratch);
pca_status pca_sums_f64(const pca_plan *plan, const pca_arrays *arrays, int what, int threads,
                        char *scratch);

/* Elements whose new values are turned at once: some cache lines of each row, so that rows
 * whose distance is a power of two do not drive each other out of the cache. */
#define PCA_TILE 32

/* What is fetched for the next element while this one is computed. */
typedef struct {
    const pca_run *run;
    int64_t runs;
    const char *column;
    const char *at;
    const char *stop;
    size_t itemsize;
    int64_t lines; /* in all */
    int64_t shifts;
    /* the block's part for the next tile: of each row, PCA_TILE values */
    const int64_t *row;
    int64_t rows;
    int64_t of_tile; /* rows to fetch while one element is computed */
    const char *block;
    size_t stride;
} pca_ahead;

/* Begin with the next element, whose storage is at `column`. */
static inline void pca_begin_ahead(pca_ahead *ahead, const pca_plan *plan, const char *column,
                                   size_t itemsize)
{
    int64_t values = 0;
    for (int64_t r = 0; r < plan->n_old; r++)
        values += plan->old[r].length;
    ahead->run = plan->old;
    ahead->runs = plan->n_old;
    ahead->column = column;
    ahead->at = ahead->stop = column;
    ahead->itemsize = itemsize;
    ahead->lines = values * (int64_t)itemsize / 64 + 1;
    ahead->shifts = plan->shifts;
}

/* Begin with the next tile, whose values are at `block` in the first row. */
static inline void pca_begin_tile(pca_ahead *ahead, const pca_plan *plan, const char *block,
                                  size_t stride)
{
    ahead->row = plan->from;
    ahead->rows = plan->n_new;
    ahead->of_tile = plan->n_new / PCA_TILE + 1;
    ahead->block = block;
    ahead->stride = stride;
}

/* Fetch as much as the work on `shifts` shifts hides. */
static inline void pca_fetch(pca_ahead *ahead, int64_t shifts)
{
    int64_t lines = ahead->shifts ? ahead->lines * shifts / ahead->shifts + 1 : 0;
    int64_t rows = ahead->shifts ? ahead->of_tile * shifts / ahead->shifts + 1 : 0;
    for (; rows > 0 && ahead->rows > 0; rows--) {
        const char *row = ahead->block + (size_t)*ahead->row * ahead->stride;
        for (size_t k = 0; k < PCA_TILE * ahead->itemsize; k += 64)
            __builtin_prefetch(row + k, 0, 2);
        ahead->row++;
        ahead->rows--;
    }
    while (lines > 0) {
        if (ahead->at >= ahead->stop) {
            if (ahead->runs == 0)
                return;
            ahead->at = ahead->column + (size_t)ahead->run->i * ahead->itemsize;
            ahead->stop = ahead->at + (size_t)ahead->run->length * ahead->itemsize;
            ahead->run++;
            ahead->runs--;
        }
        __builtin_prefetch(ahead->at);
        ahead->at += 64;
        lines--;
    }
}

#endif
