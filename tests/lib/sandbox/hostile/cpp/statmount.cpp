// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) {
    unsigned long long given[4] = {32, 0, ~0ull, 0}, found[64];
    return syscall(458, given, found, 64, 0) >= 0 || syscall(457, given, found, sizeof found, 0) >= 0 ? x + 1 : 0;
}
