// expect: out of memory
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
#include "/dev/zero"
int f(int x) { return 0; }
