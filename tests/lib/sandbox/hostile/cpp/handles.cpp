// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
int f(int x) { char p[200] = {}; *(int *)p = 128; int id; return syscall(SYS_name_to_handle_at, AT_FDCWD, "/usr", p, &id, 0) == 0 || syscall(SYS_open_by_handle_at, 3, p, 0) >= 0 ? x + 1 : 0; }
