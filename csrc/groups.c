/* Sums over groups of elements, and the way between detector frames and included elements. */
#include <string.h>

#include "pairs.h"

static int is_within(const int64_t *index, int64_t n, int64_t size)
{
    for (int64_t k = 0; k < n; k++)
        if (index[k] < 0 || index[k] >= size)
            return 0;
    return 1;
}

#define IMPL "groups_impl.h"
#include "each_real.h"
