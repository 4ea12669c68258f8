// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) {
    long key = syscall(SYS_request_key, "user", "tidemill", nullptr, -3);
    char text[99];
    return key > 0 || syscall(SYS_keyctl, 11, -3, text, sizeof text) >= 0 ? x + 1 : 0;
}
