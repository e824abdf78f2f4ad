/* The C core: loops over memory that somebody else owns.
 *
 * Kernels know no policy. They get memory, lengths and row runs, and know
 * nothing of files, ranks, configuration or users. None prints, and all but
 * those of beat.c leave allocating to the caller.
 */
#ifndef PARCORANA_H
#define PARCORANA_H

#include <stddef.h>
#include <stdint.h>

#include "../parcorana/include/parcorana/kernels.h" /* pca_status, pca_run */

/* "never leaves" in pca_events.leave */
#define PCA_STAYS INT32_MAX

/* Events sorted by counter: those stored when a block began and those of the block. */
typedef struct {
    int64_t *counter;
    int32_t *row;   /* row in the storage; -1: entered, and has left again */
    int32_t *seq;   /* -1: was there before; k: entered as the k-th */
    int32_t *leave; /* which event pushed it out, just before that one entered; PCA_STAYS: none */
    int64_t capacity;
    int64_t head;   /* the first one still stored; those before it have left */
    int64_t tail;   /* one past the last one */
} pca_events;

/* rolling.c */
pca_status pca_counters(const int64_t *stamp, int64_t n, int64_t first, int64_t rate_num,
                        int64_t rate_den, int64_t *counter);
pca_status pca_admit(pca_events *ev, int64_t times, const int64_t *counter, int64_t n,
                     int64_t limit, int8_t *fate, int64_t *entered, int64_t *consumed);
pca_status pca_find_runs(const pca_events *ev, int64_t first, const uint8_t *kinds,
                         const int64_t *delay, int64_t delays, pca_run *run, int64_t capacity,
                         int64_t *start, int64_t *count);

/* Kinds of pairs for pca_find_runs: the later event is new; the earlier one alone is. */
enum { PCA_NEW_LATER = 1, PCA_OLD_LATER = 2 };

/* What became of an event, in pca_admit. */
enum { PCA_PROCESSED = 0, PCA_DUPLICATE = 1, PCA_LATE = 2 };

/* values.c */
pca_status pca_whole_f32(const float *x, int64_t n, int32_t most, int32_t *whole);
pca_status pca_whole_f64(const double *x, int64_t n, int32_t most, int32_t *whole);
pca_status pca_energy_f32(const float *x, int64_t ld, int64_t rows, int64_t elements,
                          int64_t piece, double *energy, double *largest, int threads);
pca_status pca_energy_f64(const double *x, int64_t ld, int64_t rows, int64_t elements,
                          int64_t piece, double *energy, double *largest, int threads);

/* elements.c */
void pca_elements_f32(const size_t *row, const int64_t *number, int64_t events,
                      const int64_t *order, const int64_t *spoilt, int64_t n, float *to,
                      double *sum, double *square);
void pca_elements_f64(const size_t *row, const int64_t *number, int64_t events,
                      const int64_t *order, const int64_t *spoilt, int64_t n, double *to,
                      double *sum, double *square);

#endif
