// expect: out of memory
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
int f(int x) { for (;;) { char *p = new char[1 << 24]; memset(p, 1, 1 << 24); } }
