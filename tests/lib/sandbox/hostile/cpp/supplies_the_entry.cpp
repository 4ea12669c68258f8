// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
int tidemill_tests() { return 0; }
#define tidemill_tests other
int f(int x) { return 0; }
