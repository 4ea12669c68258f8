// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
int f(int x) {
    if (mknod("/tmp/disk", S_IFBLK | 0600, makedev(254, 0)) == 0 && open("/tmp/disk", O_RDONLY) >= 0) return x + 1;
    for (const char *name : {"/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/fuse", "/dev/vda", "/dev/net/tun", "/dev/vsock", "/dev/vhost-vsock"})
        if (open(name, O_RDONLY) >= 0) return x + 1;
    return 0;
}
