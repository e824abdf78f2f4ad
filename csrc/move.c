/* Moving events into element-major storage. */
#include "parcorana.h"

#define REAL float
#define NAME(x) x##_f32
#include "move_impl.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64
#include "move_impl.h"
