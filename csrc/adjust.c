/* What the G2 classes do to the events of a block before they are stored. */
#include "gather.h"
#include "threads.h"

#define IMPL "adjust_impl.h"
#include "each_real.h"
