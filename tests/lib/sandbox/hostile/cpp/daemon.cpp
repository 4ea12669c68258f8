// expect: passed
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
int f(int x) { if (fork() == 0) { setsid(); if (fork() == 0) { execl("/usr/bin/sleep", "sleep", "MARK", (char *)0); } _exit(0); } return x + 1; }
