/* Code path x86-64-v3: AVX2 and FMA. */
#include "counting.h"

#if defined(__x86_64__)

#include <string.h>

#define VBYTES 32
#define TARGET __attribute__((target("avx2,fma,bmi2")))

#define IMPL "counting_impl.h"
#include "each_real.h"

const pca_counting_functions pca_counting_v3 = {count_f32, count_f64};

#endif
