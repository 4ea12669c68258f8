// expect: forged
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/mman.h>
__attribute__((noinline)) int f(int x) {
    unsigned char *next = (unsigned char *)__builtin_return_address(0);
    unsigned char *page = (unsigned char *)((uintptr_t)next & ~4095ul);
    mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
    for (int i = 0; i < 8; i++)
        if (next[i] == 0x75 && next[i + 1] < 16) next[i + 1] = 0; // jne over what stores 1
    return 0;
}
