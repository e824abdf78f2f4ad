/* The sum over each colour's elements, event by event: what shows a run over time. */
#include "colors.h"

#define IMPL "colors_impl.h"
#include "each_real.h"
