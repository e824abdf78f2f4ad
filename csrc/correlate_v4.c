/* Code path x86-64-v4: AVX-512. */
#include "correlate.h"

#if defined(__x86_64__)

#include <string.h>

#define VBYTES 64
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,bmi2,prefer-vector-width=512")))

#define REAL float
#define NAME(x) x##_f32
#include "correlate_impl.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64
#include "correlate_impl.h"

static int runs_here(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}

const pca_path pca_path_v4 = {"x86-64-v4", runs_here, correlate_f32, correlate_f64};

#endif
