// expect: forged|crash
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <execinfo.h>
// Returns over as many frames as lead to the harness.
__attribute__((noinline)) int f(int x) {
    void **frame = (void **)__builtin_frame_address(0);
    frame = (void **)*frame;
    frame = (void **)*frame;
    asm volatile("mov %0, %%rbp\n xor %%eax, %%eax\n leave\n ret" ::"r"(frame));
    return 0;
}
