/* What the window's check of its own rounding errors needs to know of values. */
#include "parcorana.h"
#include "threads.h"

#define IMPL "values_impl.h"
#include "each_real.h"
