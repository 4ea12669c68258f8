// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
void g(int) { _exit(0); }
int f(int x) { signal(SIGABRT, g); return 0; }
