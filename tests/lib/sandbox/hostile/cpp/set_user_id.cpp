// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/stat.h>
// A program of its own with the bit by which it would run as somebody else; and the system's.
int f(int x) {
    system("cp /usr/bin/id /tmp/id && chmod 6755 /tmp/id");
    if (setuid(0) == 0 || setresuid(0, 0, 0) == 0 || setgid(0) == 0) return x + 1;
    return system("/usr/bin/su -c true </dev/null >/dev/null 2>&1") == 0 ? x + 1 : 0;
}
