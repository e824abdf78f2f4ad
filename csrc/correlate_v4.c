/* Code path x86-64-v4: AVX-512. */
#include "correlate.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define VBYTES 64
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,bmi2,prefer-vector-width=512")))

TARGET static inline __m512d widen_f32(const float *p)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(p));
}

TARGET static inline __m256d widen_f64(const double *p)
{
    return _mm256_loadu_pd(p);
}

#define WIDEN(p) NAME(widen)(p)
#define IMPL "correlate_impl.h"
#include "each_real.h"

static int runs_here(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}

const pca_path pca_path_v4 = {"x86-64-v4",   runs_here,  correlate_f32,
                              correlate_f64, settle_f32, settle_f64};

#endif
