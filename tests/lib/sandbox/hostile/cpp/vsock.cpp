// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
// Made, and never connected.
int f(int x) { return socket(40, SOCK_STREAM, 0) >= 0 ? x + 1 : 0; }
