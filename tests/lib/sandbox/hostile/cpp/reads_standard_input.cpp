// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <fcntl.h>
int f(int x) {
    char text[65536];
    for (int fd = 0; fd < 128; fd++) {
        if (fd == 1 || fd == 2) continue;
        lseek(fd, 0, SEEK_SET);
        if (read(fd, text, sizeof text) > 0) return x + 1;
    }
    return 0;
}
