/* The sums of G2, and of what its window check needs. */
#include "parcorana.h"

#define REAL float
#define NAME(x) x##_f32
#include "g2_impl.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64
#include "g2_impl.h"
