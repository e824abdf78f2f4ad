/* Photons of frames whose detectors share a photon's charge among neighbours. */
#ifndef PARCORANA_PHOTONS_H
#define PARCORANA_PHOTONS_H

#include <stdint.h>

/* What was found in a frame, each an int64. */
enum {
    PCA_FRAMES,       /* 1 */
    PCA_PHOTONS,      /* in included elements */
    PCA_DROPLETS,     /* of one photon and more, all over the frame */
    PCA_LEFT,         /* droplets of more photons than are wanted, */
    PCA_LEFT_PHOTONS, /* and theirs */
    PCA_LARGEST,      /* most photons of an included element, */
    PCA_PLACE,        /* and the first one that has them */
    PCA_FOUND
};

/* What becomes of a frame. */
enum {
    PCA_COUNTED,
    PCA_BROKEN, /* an included element is not finite */
    PCA_WIDE    /* an element has more photons than the counts' type holds */
};

typedef struct {
    int64_t segments, rows, columns; /* of a frame: neighbours are those within a segment */
    double photon, threshold;        /* above 0 */
    int64_t most;                    /* photons of a droplet that is wanted */
    int apart;                       /* every element is a droplet of its own */
    int check;                       /* included elements must be finite */
    const uint8_t *mask;             /* of a frame: 0 for elements that are not included */
} pca_finder;

int32_t pca_can_find(int type);

int64_t pca_find_scratch(int64_t elements);

void pca_find(const pca_finder *finder, const char *frames, int64_t stride, int64_t events, int type,
              char *counts, int wide, int64_t *found, uint8_t *fate, void *scratch);

#endif
