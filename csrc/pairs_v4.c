/* Code path x86-64-v4: AVX-512. */
#include "pairs.h"

#if defined(__x86_64__)

#include <string.h>

#include "v4.h"

#define IMPL "pairs_impl.h"
#include "each_real.h"

const pca_pairs_functions pca_pairs_v4 = {pairs_f32, pairs_f64};

#endif
