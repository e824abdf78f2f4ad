/* What the window's check of its own rounding errors needs to know of values. */
#include "parcorana.h"

#define REAL float
#define NAME(x) x##_f32
#include "values_impl.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64
#include "values_impl.h"
