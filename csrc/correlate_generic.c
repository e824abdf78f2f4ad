/* The code path of every machine, with what its compiler takes for granted: SSE2 on x86-64, NEON
 * and fused multiply-adds on aarch64. 16 bytes at a time. */
#include "correlate.h"

#include <string.h>

#define VBYTES 16
#define TARGET

#define IMPL "correlate_impl.h"
#include "each_real.h"

const pca_correlate_functions pca_correlate_generic = {correlate_f32, correlate_f64, settle_f32, settle_f64};
