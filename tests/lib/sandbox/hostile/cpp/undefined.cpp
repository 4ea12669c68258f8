// expect: compile error
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
int g(int x);
int f(int x) { return g(x); }
