// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) { syscall(424, syscall(434, 1, 0), SIGKILL, 0, 0); kill(1, SIGKILL); kill(1, SIGSTOP); syscall(SYS_tgkill, 1, 1, SIGKILL); usleep(100000); return 0; }
