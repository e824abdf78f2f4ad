/* The code path of every machine, with what its compiler takes for granted: SSE2 on x86-64, NEON
 * and fused multiply-adds on aarch64. 16 bytes at a time. */
#include "multitau.h"

#include <string.h>

#define VBYTES 16
#define TARGET

#define IMPL "multitau_impl.h"
#include "each_real.h"

const pca_multitau_functions pca_multitau_generic = {multitau_f32, multitau_f64};
