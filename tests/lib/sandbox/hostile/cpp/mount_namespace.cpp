// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
int f(int x) {
    return unshare(CLONE_NEWUSER) == 0 || unshare(CLONE_NEWNS) == 0 || mount("x", "/tmp", "tmpfs", 0, nullptr) == 0 ? x + 1 : 0;
}
