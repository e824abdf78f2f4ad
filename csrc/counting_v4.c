/* Code path x86-64-v4: AVX-512. */
#include "counting.h"

#if defined(__x86_64__)

#include <string.h>

#include "v4.h"

#define IMPL "counting_impl.h"
#include "each_real.h"

const pca_counting_functions pca_counting_v4 = {count_f32, count_f64};

#endif
