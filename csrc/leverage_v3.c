/* Code path x86-64-v3: AVX2 and FMA. */
#include "leverage_impl.h"

#if defined(__x86_64__)

#define TARGET __attribute__((target("avx2,fma,bmi2")))

TARGET double pca_find_changes_v3(const pca_leverage *c, int64_t group, const double *restrict g2,
                                  const double *restrict ip, const double *restrict fut, double *restrict change,
                                  double *restrict sum, double *restrict square)
{
    return find_by_any(c, group, g2, ip, fut, change, sum, square);
}

#endif
