/* Code path x86-64-v3: AVX2 and FMA. */
#include "correlate.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define VBYTES 32
#define TARGET __attribute__((target("avx2,fma,bmi2")))

/* The sums of four vectors' lanes in float64, added to out[0] ... out[3]. */
TARGET static inline __m256d fold(__m256 s)
{
    return _mm256_add_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(s)),
                         _mm256_cvtps_pd(_mm256_extractf128_ps(s, 1)));
}

TARGET static inline void four(__m256d a, __m256d b, __m256d c, __m256d d, double *out)
{
    const __m256d ab = _mm256_hadd_pd(a, b), cd = _mm256_hadd_pd(c, d);
    const __m256d sum = _mm256_add_pd(_mm256_permute2f128_pd(ab, cd, 0x20),
                                      _mm256_permute2f128_pd(ab, cd, 0x31));
    _mm256_storeu_pd(out, _mm256_add_pd(_mm256_loadu_pd(out), sum));
}

#define FOUR(a, b, c, d, out)                                                                 \
    four(fold((__m256)(a)), fold((__m256)(b)), fold((__m256)(c)), fold((__m256)(d)), out)
#define REAL float
#define NAME(x) x##_f32
#include "correlate_impl.h"
#undef REAL
#undef NAME

#define FOUR(a, b, c, d, out) four((__m256d)(a), (__m256d)(b), (__m256d)(c), (__m256d)(d), out)
#define REAL double
#define NAME(x) x##_f64
#include "correlate_impl.h"

static int runs_here(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const pca_path pca_path_v3 = {"x86-64-v3", runs_here, correlate_f32, correlate_f64};

#endif
