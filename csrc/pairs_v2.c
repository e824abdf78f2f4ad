/* Code path x86-64-v2: SSE4.2, 16 bytes at a time, no fused multiply-add. */
#include "pairs.h"

#if defined(__x86_64__)

#include <string.h>

#define VBYTES 16
#define TARGET __attribute__((target("sse4.2,popcnt")))

#define IMPL "pairs_impl.h"
#include "each_real.h"

const pca_pairs_functions pca_pairs_v2 = {pairs_f32, pairs_f64};

#endif
