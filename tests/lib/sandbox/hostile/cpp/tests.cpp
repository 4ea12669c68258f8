#undef NDEBUG
#include <assert.h>
int main() {
    assert(f(1) == 2);
    assert(f(5) == 6);
    assert(f(-3) == -2);
    assert(f(0) == 1);
    assert(f(41) == 42);
    assert(f(98) == 99);
}
