/* Sums over stored rows: what IP and IF are made of where no pulse is missing. */
#include <string.h>

#include "correlate.h"

#define REAL float
#define NAME(x) x##_f32
#include "sums_impl.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64
#include "sums_impl.h"
