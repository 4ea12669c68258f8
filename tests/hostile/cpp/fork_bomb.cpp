// expect: timed out|crash|early exit|wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
int f(int x) { for (;;) fork(); }
