/* What the kernels share with modules that are compiled against them.
 *
 * The functions themselves come by `cimport` from parcorana.kernels, see
 * parcorana/kernels.pxd: nothing here has to be linked with.
 */
#ifndef PARCORANA_KERNELS_H
#define PARCORANA_KERNELS_H

#include <stdint.h>

/* Goes up when what is declared here, or what a function does, changes for its callers. A
 * change of a function's arguments is noticed at import anyway. */
#define PARCORANA_KERNELS_ABI 1

typedef enum {
    PCA_OK = 0,
    PCA_MORE = 1,       /* an output array is too short: retry with a longer one */
    PCA_BAD_LENGTH = 2, /* lengths do not fit together */
    PCA_BAD_VALUE = 3,  /* a value is out of its range */
    PCA_BAD_RUN = 4,    /* a run of rows reaches beyond the rows there are, or its length is below 0 */
    PCA_REPEATED = 5,   /* a counter is there twice */
    PCA_NO_MEMORY = 6,
    PCA_SHARED = 7 /* a result lies in the memory of another one, or of what it is made of */
} pca_status;

/* A run of pairs: rows (i + k, j + k), k < length, for one delay. */
typedef struct {
    int32_t i;
    int32_t j;
    int32_t length;
} pca_run;

#endif
