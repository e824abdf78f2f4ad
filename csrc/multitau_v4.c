/* Code path x86-64-v4: AVX-512. */
#include "multitau.h"

#if defined(__x86_64__)

#include <string.h>

#include "v4.h"
#include "widen.h"

#define IMPL "multitau_impl.h"
#include "each_real.h"

const pca_multitau_functions pca_multitau_v4 = {multitau_f32, multitau_f64};

#endif
