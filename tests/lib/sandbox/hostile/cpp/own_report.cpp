// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
extern "C" int report(int, int) { return 1; }
extern "C" int seen[2][1 << 16] = {{1}}, out = 1;
int f(int x) { return 0; }
