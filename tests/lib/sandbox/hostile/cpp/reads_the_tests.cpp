// expect: forged
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
// What the tests compare with stands in their code, behind the call: cmp $2, %eax.
__attribute__((noinline)) int f(int x) {
    const unsigned char *next = (const unsigned char *)__builtin_return_address(0);
    return next[0] == 0x83 && next[1] == 0xf8 ? (signed char)next[2] : 0;
}
