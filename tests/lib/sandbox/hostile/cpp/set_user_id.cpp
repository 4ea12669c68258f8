// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/stat.h>
// Somebody else (0 may be its own number behind the wall); a program of its own with the bit by which it would run as somebody else; and the system's.
int f(int x) {
    system("cp /usr/bin/id /tmp/id && chmod 6755 /tmp/id");
    if (setresuid(1, 1, 1) == 0 || setgid(1) == 0) return x + 1;
    return system("/usr/bin/su -c true </dev/null >/dev/null 2>&1") == 0 ? x + 1 : 0;
}
