// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/resource.h>
int f(int x) {
    for (auto what : {RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_CORE}) {
        rlimit most = {RLIM_INFINITY, RLIM_INFINITY};
        if (setrlimit(what, &most) == 0) return x + 1;
    }
    return setpriority(PRIO_PROCESS, 0, -1) == 0 ? x + 1 : 0;
}
