/* Sums over groups of elements, and the way between detector frames and included elements. */
#include <string.h>

#include "pairs.h"
#include "threads.h"

static int is_within(const int64_t *index, int64_t n, int64_t size)
{
    int outside = size < 0;
    for (int64_t k = 0; k < n; k++)
        outside |= (uint64_t)index[k] >= (uint64_t)size;
    return !outside;
}

#define IMPL "groups_impl.h"
#include "each_real.h"
