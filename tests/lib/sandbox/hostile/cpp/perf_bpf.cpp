// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) { char p[128] = {}; return syscall(SYS_bpf, 0, p, sizeof p) >= 0 || syscall(SYS_perf_event_open, p, 0, -1, -1, 0) >= 0 ? x + 1 : 0; }
