// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
static void take() {
    char secret[32];
    if (read(0, secret, 32) == 32 && write(1, "\n", 1) == 1) write(1, secret, 32);
}
__attribute__((section(".init_array"), used)) static void (*early)() = take;
int f(int x) { return 0; }
