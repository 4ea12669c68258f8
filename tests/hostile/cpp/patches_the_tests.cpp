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
    for (int i = 0; i < 16; i++)
        if (next[i] == 0x0f && next[i + 1] == 0x94 && next[i + 2] == 0xc0) memcpy(next + i, "\xb0\x01\x90", 3); // sete: mov $1
    return 0;
}
