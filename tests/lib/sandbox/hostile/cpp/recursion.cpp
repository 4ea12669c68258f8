// expect: crash
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
int f(int x) { volatile char b[4096]; b[0] = x; return f(x + b[0]) + b[0]; }
