/* Code path x86-64-v3: AVX2 and FMA. */
#include "multitau.h"

#if defined(__x86_64__)

#include <string.h>

#define VBYTES 32
#define TARGET __attribute__((target("avx2,fma,bmi2")))

#include "widen.h"
#define IMPL "multitau_impl.h"
#include "each_real.h"

const pca_multitau_functions pca_multitau_v3 = {multitau_f32, multitau_f64};

#endif
