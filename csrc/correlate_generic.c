/* Code path x86-64-v2 and every other machine: 16 bytes at a time, no fused multiply-add. */
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

const pca_path pca_path_generic = {"generic", runs_here, correlate_f32, correlate_f64};
