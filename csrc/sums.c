/* Sums over stored rows: what IP and IF are made of where no pulse is missing. */
#include <string.h>

#include "correlate.h"

#define IMPL "sums_impl.h"
#include "each_real.h"
