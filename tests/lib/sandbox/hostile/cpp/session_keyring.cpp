// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
// Another program's key, or one that outlives this program.
int f(int x) { return syscall(SYS_keyctl, 0, -3, 1) > 0 || syscall(SYS_add_key, "user", "tidemill", "x", 1, -3) > 0 ? x + 1 : 0; }
