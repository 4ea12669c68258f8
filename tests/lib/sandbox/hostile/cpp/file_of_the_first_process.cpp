// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) {
    for (int pid = 1; pid < 9; pid++) {
        if (pid == getpid()) continue;
        int fd = syscall(434, pid, 0);
        for (int n = 0; fd >= 0 && n < 16; n++)
            if (syscall(438, fd, n, 0) >= 0) return x + 1;
    }
    return 0;
}
