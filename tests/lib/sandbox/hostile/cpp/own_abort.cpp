// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
extern "C" void __assert_fail(const char *, const char *, unsigned, const char *) noexcept { _exit(0); }
int f(int x) { return 0; }
