// expect: early exit
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
// A filter of its own: write says that all is well and does nothing.
int f(int x) {
    sock_filter steps[] = {{0x20, 0, 0, 0}, {0x15, 0, 1, 1}, {0x06, 0, 0, SECCOMP_RET_ERRNO}, {0x06, 0, 0, SECCOMP_RET_ALLOW}};
    sock_fprog program = {4, steps};
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
    return 0;
}
