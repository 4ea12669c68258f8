// expect: crash|wrong answer
// Its parent is the shell of its job, which ends the cell, at once or after the first report.
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
int f(int x) { kill(getppid(), 9); kill(-1, 0); return 0; }
