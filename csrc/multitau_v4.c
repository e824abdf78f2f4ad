/* Code path x86-64-v4: AVX-512. */
#include "multitau.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "v4.h"

TARGET static inline __m512d widen_f32(const float *p)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(p));
}

TARGET static inline __m256d widen_f64(const double *p)
{
    return _mm256_loadu_pd(p);
}

#define WIDEN(p) NAME(widen)(p)
#define IMPL "multitau_impl.h"
#include "each_real.h"

const pca_multitau_functions pca_multitau_v4 = {multitau_f32, multitau_f64};

#endif
