/* Code path x86-64-v4: AVX-512. */
#include "correlate.h"

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
#define IMPL "correlate_impl.h"
#include "each_real.h"

const pca_correlate_functions pca_correlate_v4 = {correlate_f32, correlate_f64, settle_f32, settle_f64};

#endif
