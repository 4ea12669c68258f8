// expect: compile error
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
int f(int x) { return 0; }
const char *tests = R"x(
