/* Code path x86-64-v3: AVX2 and FMA. */
#include "pairs.h"

#if defined(__x86_64__)

#include <string.h>

#define VBYTES 32
#define TARGET __attribute__((target("avx2,fma,bmi2")))

#define IMPL "pairs_impl.h"
#include "each_real.h"

static int runs_here(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

const pca_pairs_path pca_pairs_v3 = {"x86-64-v3", runs_here, pairs_f32, pairs_f64};

#endif
