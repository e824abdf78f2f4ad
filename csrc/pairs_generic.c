/* The code path of every machine, with what its compiler takes for granted. 16 bytes at a time. */
#include "pairs.h"

#include <string.h>

#define VBYTES 16
#define TARGET

#define IMPL "pairs_impl.h"
#include "each_real.h"

const pca_pairs_functions pca_pairs_generic = {pairs_f32, pairs_f64};
