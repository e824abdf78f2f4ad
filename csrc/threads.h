#ifndef PCA_THREADS_H
#define PCA_THREADS_H

/* Return how many of so many threads there may be: one in a process that was forked. OpenMP of GCC would wait there for
 * ever for the threads of the process that it is a copy of. */
int pca_threads(int threads);

#endif
