/* Elements of events, brought side by side in another order. */
#include "parcorana.h"

#include <string.h>

#define IMPL "elements_impl.h"
#include "each_real.h"
