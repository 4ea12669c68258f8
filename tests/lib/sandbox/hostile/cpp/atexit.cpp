// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
void g() { _exit(0); }
struct A { A() { atexit(g); } } a;
int f(int x) { return 0; }
