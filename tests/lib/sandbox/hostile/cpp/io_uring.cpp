// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) { char p[120] = {}; return syscall(425, 1, p) >= 0 ? x + 1 : 0; }
