/* Code path x86-64-v2: SSE4.2, 16 bytes at a time, no fused multiply-add. */
#include "multitau.h"

#if defined(__x86_64__)

#include <string.h>

#define VBYTES 16
#define TARGET __attribute__((target("sse4.2,popcnt")))

#define IMPL "multitau_impl.h"
#include "each_real.h"

const pca_multitau_functions pca_multitau_v2 = {multitau_f32, multitau_f64};

#endif
