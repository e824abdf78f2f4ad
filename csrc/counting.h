/* How often an element has so many photons: in single events, and in windows of 2, 4, 8 ... pulses.
 * (photons.h is another thing: it finds photons in frames, on servers.) */
#ifndef PARCORANA_COUNTING_H
#define PARCORANA_COUNTING_H

#include "parcorana.h"
#include "paths.h"

enum {
    PCA_COUNT_EVENTS = 128, /* the most events of one call: their numbers fit into bytes */
    PCA_COUNT_LEVELS = 11,  /* windows of up to 1024 pulses */
    PCA_COUNT_FRAMES = 2 * PCA_COUNT_EVENTS + PCA_COUNT_LEVELS, /* the most windows of all levels together */
    PCA_COUNT_STRIP = 64,   /* elements at a time */
    PCA_COUNT_MOST = 1 << 20, /* an element has at most so many photons in an event */
    PCA_COUNT_KMAX = 254
};

/* A window that is kept, to be compared with one far away. */
typedef struct {
    int64_t frame; /* of all levels together */
    uint8_t *to;   /* n bytes; more than 255 are 255 */
} pca_kept;

/* Frames of level L are windows of 2^L pulses; those of all levels lie one behind the other. */
typedef struct {
    const uintptr_t *row; /* of each event the address of its first element */
    int64_t events, elements;
    double photon, threshold;
    int64_t levels;
    const int64_t *first;  /* (levels + 1): the first frame of each level */
    const int32_t *slot;   /* of each level: where its numbers go; -1: nowhere */
    const int64_t *left;   /* of each frame the two that it is made of; -1: what is pending */
    const int64_t *right;
    const int64_t *last;   /* of each level but the last: the frame that is pending now; -1: as before */
    int32_t *pending;      /* (levels - 1, elements): the first half of a window; -1: has none */
    const pca_kept *kept;
    int64_t n_kept;
    const int64_t *number; /* of each event: when it was processed */
    const int64_t *spoilt; /* (elements): the number of the event from which on it counts no more; NULL: none */
    const int32_t *color;  /* (elements), below colors; -1: in none */
    int64_t colors, slots, kmax;
} pca_counting;

/* What comes out, added to what is there. */
typedef struct {
    int64_t *counts; /* (slots, colors, kmax + 2) */
    int64_t *photons; /* (slots, colors): the sums of all photons in these windows */
    int64_t *sums;    /* (events, colors): of each event */
    int64_t *number;  /* (events, colors): elements that count in it */
    int64_t *whole;   /* (colors): those that count in all of them, and are not in `number` yet */
} pca_counted;

typedef void pca_count_range(const pca_counting *, int64_t p0, int64_t p1, pca_counted *);

typedef struct {
    pca_count_range *f32, *f64;
} pca_counting_functions;

#if defined(__x86_64__)
extern const pca_counting_functions pca_counting_v4, pca_counting_v3, pca_counting_v2;
#endif
extern const pca_counting_functions pca_counting_generic;

/* Bytes of the scratch that each thread takes, filled with zeros. */
size_t pca_counting_scratch(const pca_counting *c);
/* `out` has no `whole`. */
void pca_count(const pca_counting *c, const pca_counted *out, int is_double, int threads, char *scratch);

#endif
