#undef NDEBUG
#include <assert.h>
int main() {
    assert(f(1) == 2);
    assert(f(5) == 6);
}
