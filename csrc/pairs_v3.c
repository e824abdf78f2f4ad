/* Code path x86-64-v3: AVX2 and FMA. */
#include "pairs.h"

#if defined(__x86_64__)

#include <string.h>

#define VBYTES 32
#define TARGET __attribute__((target("avx2,fma,bmi2")))

#define IMPL "pairs_impl.h"
#include "each_real.h"

const pca_pairs_functions pca_pairs_v3 = {pairs_f32, pairs_f64};

#endif
