// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
#define assert(x)
#define NDEBUG 1
int f(int x) { return 0; }
