// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
// A lock on a file that is outside too would be felt there.
int f(int x) {
    for (const char *name : {"/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/sh", "/harness/jobs/job.sh", "/usr/lib/os-release"}) {
        int fd = open(name, O_RDONLY);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) return x + 1;
        struct flock lock = {F_RDLCK, SEEK_SET, 0, 1, 0};
        if (fd >= 0 && (fcntl(fd, F_OFD_SETLK, &lock) == 0 || fcntl(fd, F_SETLEASE, F_RDLCK) == 0)) return x + 1;
    }
    return 0;
}
