/* Code path x86-64-v3: AVX2 and FMA. */
#include "correlate.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define VBYTES 32
#define TARGET __attribute__((target("avx2,fma,bmi2")))

TARGET static inline __m256d widen_f32(const float *p)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(p));
}

TARGET static inline __m128d widen_f64(const double *p)
{
    return _mm_loadu_pd(p);
}

#define WIDEN(p) NAME(widen)(p)
#define IMPL "correlate_impl.h"
#include "each_real.h"

static int runs_here(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const pca_path pca_path_v3 = {"x86-64-v3",   runs_here,  correlate_f32,
                              correlate_f64, settle_f32, settle_f64};

#endif
