// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
extern "C" void __assert_fail(const char *, const char *, unsigned, const char *) noexcept {
    void **frame = (void **)__builtin_frame_address(0);
    frame[1] = (char *)frame[1] + 2;
}
int f(int x) { return 0; }
