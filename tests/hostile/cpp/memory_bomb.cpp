// expect: out of memory|exception|crash|timed out
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
int f(int x) { for (;;) { char *p = new char[1 << 24]; memset(p, 1, 1 << 24); } }
