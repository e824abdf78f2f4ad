/* Code path x86-64-v3: AVX2 and FMA. */
#include "correlate.h"

#if defined(__x86_64__)

#include <string.h>

#define VBYTES 32
#define TARGET __attribute__((target("avx2,fma,bmi2")))

#include "widen.h"
#define IMPL "correlate_impl.h"
#include "each_real.h"

const pca_correlate_functions pca_correlate_v3 = {correlate_f32, correlate_f64, settle_f32, settle_f64};

#endif
