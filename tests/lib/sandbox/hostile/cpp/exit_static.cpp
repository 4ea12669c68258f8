// expect: early exit
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
struct A { A() { exit(0); } } a;
int f(int x) { return 0; }
