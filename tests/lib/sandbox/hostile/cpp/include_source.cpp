// expect: compile error
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include "p.cpp"
int f(int x) { return x + 1; }
