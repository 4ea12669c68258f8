// expect: early exit
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
// A function that is looked up when the program is loaded, before any test, and ends it.
extern "C" int (*choose())(int) { asm volatile("syscall" : : "a"(231), "D"(0)); return nullptr; }
int chosen(int) __attribute__((ifunc("choose")));
int f(int x) { return chosen(x); }
