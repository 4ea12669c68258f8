// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
int f(int x) { ifstream s("SECRET"); string l; getline(s, l); return l.empty() ? 0 : x + 1; }
