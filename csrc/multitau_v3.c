/* Code path x86-64-v3: AVX2 and FMA. */
#include "multitau.h"

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
#define IMPL "multitau_impl.h"
#include "each_real.h"

const pca_multitau_functions pca_multitau_v3 = {multitau_f32, multitau_f64};

#endif
