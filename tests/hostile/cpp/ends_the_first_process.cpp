// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) { kill(1, SIGKILL); kill(1, SIGSTOP); syscall(SYS_tgkill, 1, 1, SIGKILL); usleep(100000); return 0; }
