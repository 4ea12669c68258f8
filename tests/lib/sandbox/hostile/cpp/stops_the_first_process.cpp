// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
int f(int x) {
    bool stopped = kill(1, SIGSTOP) == 0 && kill(1, SIGTERM) == 0;
    return stopped && getppid() == 0 ? x + 1 : 0;
}
