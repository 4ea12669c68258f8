// expect: compile error
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
#include "SECRET"
int f(int x) { return 0; }
