// expect: forged
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
// Returns 0 to the caller of its caller.
__attribute__((noinline)) int f(int x) {
    asm volatile("mov (%rbp), %rbp\n mov -8(%rbp), %rbx\n xor %eax, %eax\n leave\n ret");
    return 0;
}
