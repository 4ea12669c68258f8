// expect: compile error
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
int main() { return 0; }
int f(int x) { return 0; }
