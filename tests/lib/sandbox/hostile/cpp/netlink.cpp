// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) { return socket(16, SOCK_RAW, 0) >= 0 || socket(17, SOCK_RAW, 0) >= 0 || socket(38, SOCK_SEQPACKET, 0) >= 0 ? x + 1 : 0; }
