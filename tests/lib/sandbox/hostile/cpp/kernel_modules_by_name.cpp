// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/socket.h>
// Families that make the kernel load a module; made, and never connected.
int f(int x) {
    for (int family : {4, 5, 9, 15, 21, 29, 31, 37, 39, 42, 43, 44}) if (socket(family, SOCK_DGRAM, 0) >= 0) return x + 1;
    return 0;
}
