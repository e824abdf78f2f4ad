/* Correlating the series of a few elements after the other: private to the C core.
 *
 * A block of events is described once, in positions of a line: time, cut to what the
 * block needs, in units of the smallest step between pulses. Elements are taken a panel
 * at a time, as many as a vector has lanes. Their values are laid on one line of vectors,
 * zero where a pulse is missing, and everything is computed while that line is in the
 * caches. Pairs at a delay are then two stretches of the line, shifted; where that would
 * be wasteful (few events over a long time) or not exact (an event left before the other
 * one entered) they are runs of positions, and summed one run at a time.
 */
#ifndef PARCORANA_CORRELATE_H
#define PARCORANA_CORRELATE_H

#include "paths.h"

/* What is computed beside G2. */
enum {
    PCA_ONLY_G2 = 0,
    PCA_MASKED = 1,   /* IP and IF of every pair, by lines of ones and zeros */
    PCA_DEFERRED = 2, /* total += new; IP and IF get what missing pulses take away */
    PCA_ENDS = 3      /* IP and IF of all that is stored: everything but its ends */
};

typedef struct {
    /* the line */
    int64_t length;
    const pca_run *old; /* row i of the storage goes to position j */
    int64_t n_old;
    const int64_t *source; /* row of the block that the k-th new event, by time, has */
    int64_t n_new;
    const pca_run *fresh; /* new events i ... go to positions j ... */
    int64_t n_fresh;
    const pca_run *keep; /* new events i ... go to rows j ... of the storage at the end */
    int64_t n_keep;
    /* shifted stretches: sum over begin <= t < end of N[t] A[t + shift], where A is the line
     * and N its new events only */
    int64_t begin;
    int64_t end;
    /* The first so many positions leave: first the pairs of these with any old one are taken
     * away (shifts then go the other way), then their values become zero. */
    int64_t gone;
    int32_t all_new; /* N is all of the line there, not new events only */
    int32_t mode;
    int32_t defer;        /* PCA_DEFERRED: begin with ip += sums over the last positions before begin */
    const int64_t *shift; /* going up, or going down */
    const int64_t *column; /* of the result, for each shift */
    int64_t shifts;
    const uint8_t *present; /* PCA_MASKED: 1 where the line has a value ... */
    const uint8_t *is_new;  /* ... and where N has one */
    /* PCA_DEFERRED, PCA_ENDS: missing pulses */
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
    int64_t events; /* of the block */
    int64_t elements;
    double *g2; /* elements x delays; NULL: only the others */
    double *ip;
    double *fut;
    double *total;  /* PCA_DEFERRED: elements */
    double *energy; /* += squares of the new values, or NULL */
} pca_arrays;

typedef void pca_correlate_range(const pca_plan *plan, const pca_arrays *arrays, int64_t p0,
                                 int64_t p1, void *scratch);

/* Of one code path. */
typedef struct {
    pca_correlate_range *f32;
    pca_correlate_range *f64;
    pca_correlate_range *settle_f32;
    pca_correlate_range *settle_f64;
} pca_correlate_functions;

extern const pca_correlate_functions pca_correlate_generic;
#if defined(__x86_64__)
extern const pca_correlate_functions pca_correlate_v2;
extern const pca_correlate_functions pca_correlate_v3;
extern const pca_correlate_functions pca_correlate_v4;
#endif

size_t pca_scratch(const pca_plan *plan, size_t itemsize);

/* The function of the chosen code path that does so. */
enum { PCA_CORRELATE, PCA_SETTLE };
pca_correlate_range *pca_range(int what, int is_double);

/* Add all that the plan describes, and put the new events into the storage. PCA_SHARED: what is written lies in the
 * memory of something else. */
pca_status pca_correlate(const pca_plan *plan, const pca_arrays *arrays, int is_double,
                         int threads, char *scratch);

/* Settle what was deferred, over a line of the newest stored events, for shifts -d:
 * ip += total - (sum over the last d positions), fut += total, total = 0. */
pca_status pca_settle(const pca_plan *plan, const pca_arrays *arrays, int is_double, int threads,
                      char *scratch);
void pca_count_shifts(const uint8_t *is_new, const uint8_t *present, int64_t length,
                      int64_t begin, int64_t end, const int64_t *shift, int64_t shifts,
                      int64_t *count);

/* Elements of which threads get whole multiples, and whose part of a block is gathered at once. */
#define PCA_TILE 128
/* Positions that are summed in float32: 8 sums of 8 products, 15 roundings of 2^-24 at most. */
#define PCA_INNER 8
#define PCA_CHUNK 64
/* Positions of a stretch that all shifts are taken over before the next ones. */
#define PCA_STRIP 256
/* Shifts whose float64 sums stay in the first cache. */
#define PCA_SHIFTS 96
/* The longest vector, in bytes. */
#define PCA_VECTOR 64

/* What is fetched while something else is computed: for the next panel its part of the
 * storage and of the result, for the next tile its part of the block. */
typedef struct {
    const pca_run *runs;
    int64_t n_runs;
    int64_t run;    /* the next one */
    int64_t column; /* of the panel ... */
    int64_t columns;
    const char *x; /* ... that begins here */
    size_t step;   /* from column to column */
    size_t itemsize;
    const char *at;
    const char *stop;
    const char *result[3]; /* as many bytes of each: its g2, ip and fut, or NULL */
    size_t result_size;
    size_t result_at;
    int which;
    int64_t quota; /* cache lines at once */
    const int64_t *row;
    int64_t rows;
    int64_t row_quota;
    const char *block;
    size_t stride;
} pca_ahead;

static inline int64_t pca_values(const pca_run *run, int64_t runs)
{
    int64_t values = 0;
    for (int64_t r = 0; r < runs; r++)
        values += run[r].length;
    return values;
}

/* Begin with the next panel: `columns` elements of `values` old values each, whose storage begins
 * at x, their results at `ahead->result`; all of it within `calls` calls of pca_fetch. */
static inline void pca_begin_panel(pca_ahead *ahead, const pca_plan *plan, int64_t values,
                                   const char *x, size_t step, int64_t columns,
                                   size_t itemsize, size_t result_size, int64_t calls)
{
    const int64_t bytes = values * columns * (int64_t)itemsize;
    ahead->runs = plan->old;
    ahead->n_runs = ahead->run = plan->n_old;
    ahead->column = -1;
    ahead->columns = plan->n_old ? columns : 0;
    ahead->x = x;
    ahead->step = step;
    ahead->itemsize = itemsize;
    ahead->at = ahead->stop = x;
    ahead->result_size = result_size;
    ahead->result_at = 0;
    ahead->which = 0;
    ahead->quota = (bytes / 64 + plan->n_old * columns + 3 * (int64_t)result_size / 64) / calls + 1;
}

/* Begin with the next tile, whose values are at `block` in the first row. */
static inline void pca_begin_tile(pca_ahead *ahead, const pca_plan *plan, const char *block,
                                  size_t stride, int64_t calls)
{
    ahead->row = plan->source;
    ahead->rows = plan->n_new;
    ahead->row_quota = plan->n_new / calls + 1;
    ahead->block = block;
    ahead->stride = stride;
}

/* Fetch a part into the second cache. */
static inline void pca_fetch(pca_ahead *ahead)
{
    int64_t lines = ahead->quota;
    for (int64_t rows = ahead->row_quota; rows > 0 && ahead->rows > 0; rows--) {
        const char *row = ahead->block + (size_t)*ahead->row * ahead->stride;
        for (size_t k = 0; k < PCA_TILE * ahead->itemsize; k += 64)
            __builtin_prefetch(row + k, 0, 3);
        ahead->row++;
        ahead->rows--;
    }
    while (lines > 0 && ahead->which < 3) {
        if (ahead->result[ahead->which] == NULL || ahead->result_at >= ahead->result_size) {
            ahead->result_at = 0;
            ahead->which++;
            continue;
        }
        __builtin_prefetch(ahead->result[ahead->which] + ahead->result_at, 1, 2);
        ahead->result_at += 64;
        lines--;
    }
    for (; lines > 0; lines--) {
        if (ahead->at >= ahead->stop) {
            if (ahead->run == ahead->n_runs) {
                if (ahead->column + 1 >= ahead->columns)
                    return;
                ahead->column++;
                ahead->run = 0;
            }
            ahead->at = ahead->x + (size_t)ahead->column * ahead->step +
                        (size_t)ahead->runs[ahead->run].i * ahead->itemsize;
            ahead->stop = ahead->at + (size_t)ahead->runs[ahead->run].length * ahead->itemsize;
            ahead->run++;
        }
        __builtin_prefetch(ahead->at, 0, 3);
        ahead->at += 64;
    }
}

#endif
