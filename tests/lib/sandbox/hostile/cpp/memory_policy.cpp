// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) { unsigned long m = 1; return syscall(SYS_mbind, 0, 0, 0, 0, 0, 0) >= 0 || syscall(SYS_set_mempolicy, 1, &m, 8) >= 0 || syscall(SYS_move_pages, 1, 0, 0, 0, 0, 0) >= 0 ? x + 1 : 0; }
