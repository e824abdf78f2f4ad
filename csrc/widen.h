/* Half a vector of float32, or a quarter of one of float64, in float64: compilers make several steps of that.
 * Included with VBYTES and TARGET defined, on paths that have instructions for it. */
#ifndef PARCORANA_WIDEN_H
#define PARCORANA_WIDEN_H

#include <immintrin.h>

#if VBYTES == 64
TARGET static inline __m512d widen_f32(const float *p)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(p));
}

TARGET static inline __m256d widen_f64(const double *p)
{
    return _mm256_loadu_pd(p);
}
#else
TARGET static inline __m256d widen_f32(const float *p)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(p));
}

TARGET static inline __m128d widen_f64(const double *p)
{
    return _mm_loadu_pd(p);
}
#endif

#define WIDEN(p) NAME(widen)(p)

#endif
