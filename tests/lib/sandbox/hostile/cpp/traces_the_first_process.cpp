// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
int f(int x) {
    char byte;
    iovec here{&byte, 1}, there{(void *)&f, 1};
    for (int pid = 1; pid < 9; pid++) {
        if (pid == getpid()) continue;
        if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) return x + 1;
        if (syscall(SYS_process_vm_readv, pid, &here, 1, &there, 1, 0) > 0) return x + 1;
    }
    return 0;
}
