/* Code path x86-64-v2: SSE4.2, 16 bytes at a time, no fused multiply-add. */
#include "correlate.h"

#if defined(__x86_64__)

#include <string.h>

#define VBYTES 16
#define TARGET __attribute__((target("sse4.2,popcnt")))

#define IMPL "correlate_impl.h"
#include "each_real.h"

const pca_correlate_functions pca_correlate_v2 = {correlate_f32, correlate_f64, settle_f32, settle_f64};

#endif
