/* The code path of every machine, with what its compiler takes for granted: SSE2 on x86-64, NEON
 * and fused multiply-adds on aarch64. 16 bytes at a time. */
#include "correlate.h"

#include <string.h>

#define VBYTES 16
#define TARGET

#define IMPL "correlate_impl.h"
#include "each_real.h"

static int runs_here(void)
{
    return 1;
}

const pca_path pca_path_generic = {"generic",     runs_here,  correlate_f32,
                                   correlate_f64, settle_f32, settle_f64};
