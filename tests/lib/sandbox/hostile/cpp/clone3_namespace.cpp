// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) {
    unsigned long long given[11] = {0x10000000, 0, 0, 0, SIGCHLD};
    long pid = syscall(435, given, sizeof given);
    if (pid == 0) _exit(0);
    return pid > 0 ? x + 1 : 0;
}
