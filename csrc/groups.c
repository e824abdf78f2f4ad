/* Sums over groups of elements, and the way between detector frames and included elements. */
#include <string.h>

#include "pairs.h"

#define IMPL "groups_impl.h"
#include "each_real.h"
