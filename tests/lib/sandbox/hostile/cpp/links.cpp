// expect: passed
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
void bye() {}
int f(int x) {
    __int128 sum = (__int128)x * 1000000007;
    thread([&] { sum /= 1000000007; }).join();
    atexit(bye);
    return (int)sum + (int)pow(__builtin_popcountll(sum), 0.0);
}
