#include "threads.h"

#include <pthread.h>

static int is_forked;

static void in_child(void)
{
    is_forked = 1;
}

__attribute__((constructor)) static void at_load(void)
{
    (void)pthread_atfork(0, 0, in_child); /* it fails where memory is short, and then much else does */
}

int pca_threads(int threads)
{
    return is_forked ? 1 : threads;
}
