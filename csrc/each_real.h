/* Includes IMPL once for float and once for double: NAME(x) is x_f32, x_f64. */
#define REAL float
#define NAME(x) x##_f32
#include IMPL
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64
#include IMPL
#undef REAL
#undef NAME
