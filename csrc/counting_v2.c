/* Code path x86-64-v2: SSE4.2, 16 bytes at a time, no fused multiply-add. */
#include "counting.h"

#if defined(__x86_64__)

#include <string.h>

#define VBYTES 16
#define TARGET __attribute__((target("sse4.2,popcnt")))

#define IMPL "counting_impl.h"
#include "each_real.h"

const pca_counting_functions pca_counting_v2 = {count_f32, count_f64};

#endif
