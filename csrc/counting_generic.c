/* The code path of every machine, with what its compiler takes for granted. 16 bytes at a time. */
#include "counting.h"

#include <string.h>

#define VBYTES 16
#define TARGET
#define PORTABLE

#define IMPL "counting_impl.h"
#include "each_real.h"

const pca_counting_functions pca_counting_generic = {count_f32, count_f64};
