// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) { char name[99] = {}; gethostname(name, 98); return string(name) == "sandbox" ? 0 : x + 1; }
