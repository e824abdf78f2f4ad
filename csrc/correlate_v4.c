/* Code path x86-64-v4: AVX-512. */
#include "correlate.h"

#if defined(__x86_64__)

#include <string.h>

#include "v4.h"
#include "widen.h"

#define IMPL "correlate_impl.h"
#include "each_real.h"

const pca_correlate_functions pca_correlate_v4 = {correlate_f32, correlate_f64, settle_f32, settle_f64};

#endif
