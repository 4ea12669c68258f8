// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
int own_main() asm("main_");
int own_main() { return 0; }
extern "C" int report(int, int) { return 1; }
extern "C" int tests() { return 0; }
int run() asm("_Z5testsv");
int run() { return 0; }
int tests_0() asm("tests_0");
int tests_0() { return 0; }
extern "C" int snprintf(char *, size_t, const char *, ...) { return 0; }
int f(int x) { return 0; }
