/* Code paths: the same functions for several sets of instructions, one of them chosen at run time. */
#ifndef PARCORANA_PATHS_H
#define PARCORANA_PATHS_H

#include "compiler.h"
#include "parcorana.h"

/* Best first. Tables of functions have one entry for each of these. */
enum {
#if defined(__x86_64__)
    PCA_V4, /* AVX-512 */
    PCA_V3, /* AVX2 and FMA */
    PCA_V2, /* SSE4.2 */
#endif
    PCA_GENERIC, /* what the compiler takes for granted: SSE2; NEON and FMA on aarch64 */
    PCA_PATHS
};

/* The n-th code path that this machine can run, best first; NULL after the last one. */
const char *pca_path_name(int n);
/* Take the code path of that name, or the best one for NULL. */
pca_status pca_choose_path(const char *name);
/* The path in use: its name, and its number. */
const char *pca_chosen_path(void);
int pca_chosen(void);

#endif
