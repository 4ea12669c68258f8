// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) { int fd = syscall(434, 1, 0); return fd >= 0 && syscall(424, fd, 9, 0, 0) == 0 ? x + 1 : 0; }
