/* Multi-tau: the means of 2^L pulses are correlated as the pulses are.
 *
 * Private to the C core. Level L has frame k, the mean of the pulses 2^L k ... 2^L (k + 1) - 1, if all of these are
 * there. A worker keeps the last `channels` frames of each level, 0 where there is none, and what it sums. Events come
 * in the order of time. They are cut into stretches without long gaps; so many of these as fit into the caches are a
 * pass, which is planned once for all elements.
 */
#ifndef PARCORANA_MULTITAU_H
#define PARCORANA_MULTITAU_H

#include "correlate.h"

/* What stays the same, and what is the same for all elements. */
typedef struct {
    int64_t levels;
    int64_t channels;
    int64_t delays;
    const int64_t *lag;   /* of each delay: frames of its level */
    const int64_t *first; /* delays first[L] ... first[L + 1] - 1 are level L's; levels + 1 */
    int8_t *present;      /* levels x channels: whether there is such a frame, the newest one last */
    int64_t *frontier;    /* the pulse after the last one */
    int8_t *begun;        /* whether there was one */
    int64_t *counts;      /* pairs of each delay */
} pca_levels;

/* What is each element's own; `ld` values from element to element. */
typedef struct {
    const uintptr_t *rows; /* where the values of each event are */
    int64_t elements;
    void *history; /* levels x channels */
    double *total; /* sums of all frames of a level: levels */
    double *g2;    /* delays, as are ip and fut */
    double *ip;    /* without the total; what the newest frames still miss is not yet taken away */
    double *fut;
} pca_series;

/* What happens at one level in one stretch. */
typedef struct {
    int64_t gap;    /* so many frames are missing before it; `channels` at most */
    int64_t length; /* new frames after that, or 0 if there is none among them */
    int64_t child;  /* where the line of the level below has the first half of the first one */
    int64_t absent; /* absent[absent] ... of the line are none; `absents` of them */
    int64_t absents;
    int64_t lost; /* start[lost + 2 k] ... where the k-th delay's lost frames begin, or -1 */
    int32_t pairs;
    int32_t moves; /* whether there is anything to do */
} pca_step;

typedef struct {
    int64_t events;
    int64_t length;    /* positions of the lines of level 0, of all stretches */
    int64_t longest;   /* of one stretch */
    int64_t stretches;
    int64_t fetches;   /* calls of pca_fetch for a panel */
    int32_t ends;      /* whether ip and fut get anything */
    int64_t *place;    /* position of each event */
    int64_t *begin;    /* of each stretch: where its line begins */
    pca_step *step;    /* stretches x levels */
    int32_t *absent;   /* positions of a line */
    int32_t *position; /* frames whose partner is missing: as the later one (past), as the earlier one (future) */
    int64_t *start;
    int64_t *column;   /* 0, 1, ... */
    int64_t *offset;   /* of each event's row from the first one's, in bytes */
    uint8_t *flags[2];
    uint8_t *loaded; /* of each level: whether its history has anything before */
    uint8_t *moved;  /* ... is another one afterwards */
    uint8_t *paired; /* ... its sums are */
    int64_t absents;
    int64_t positions;
    int64_t starts;
} pca_pass;

/* Positions of a pass. */
int64_t pca_pass_length(const pca_levels *levels);
/* Bytes of a pass's plan, and of each thread's scratch. */
size_t pca_pass_size(const pca_levels *levels);
size_t pca_multitau_scratch(const pca_levels *levels, size_t itemsize);
/* Plan as many of m events as a pass takes, whose counters increase; `memory` is pca_pass_size bytes. */
void pca_plan_pass(const pca_levels *levels, const int64_t *counter, int64_t m, void *memory, pca_pass *pass);

/* Add m events. PCA_BAD_VALUE: their counters do not increase, or are not after those before. */
pca_status pca_multitau(const pca_levels *levels, const pca_series *series, const int64_t *counter, int64_t m,
                        int is_double, int threads, void *memory, char *scratch);

/* Of one code path. */
typedef void pca_multitau_range(const pca_levels *levels, const pca_pass *pass, const pca_series *series,
                                int64_t p0, int64_t p1, void *scratch);
typedef struct {
    pca_multitau_range *f32;
    pca_multitau_range *f64;
} pca_multitau_functions;

extern const pca_multitau_functions pca_multitau_generic;
#if defined(__x86_64__)
extern const pca_multitau_functions pca_multitau_v2;
extern const pca_multitau_functions pca_multitau_v3;
extern const pca_multitau_functions pca_multitau_v4;
#endif

/* Lines of levels above 0 and what else a thread has beside the tile, in vectors. */
static inline int64_t pca_slots(const pca_levels *levels)
{
    int64_t slots = 0;
    for (int64_t level = 0; level < levels->levels; level++)
        slots += (levels->first[level + 1] - levels->first[level] + 3) / 4 * 4;
    return slots;
}

#endif
