// What all.h declares and no job compiles again (instances.h).
#include "headers.h"
#define INSTANCE template
#include "instances.h"
