// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) { return syscall(SYS_fanotify_init, 0, 0) >= 0 || syscall(SYS_lookup_dcookie, 0, 0, 0) >= 0 || syscall(SYS_kexec_load, 0, 0, 0, 0) >= 0 ? x + 1 : 0; }
