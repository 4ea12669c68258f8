// The precompiled header of C++ jobs.
#include "headers.h"
#define INSTANCE extern template
#include "instances.h"
#undef INSTANCE
#undef NUMBER_IN
#undef REAL_IN
#undef OF_STRING
#undef OF_CHAR
#undef OF_REAL
#undef OF_VECTOR
