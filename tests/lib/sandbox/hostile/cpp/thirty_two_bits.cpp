// expect: wrong answer|crash
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/syscall.h>
#include <sys/socket.h>
#include <errno.h>
int f(int x) { long r; asm volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory"); return r > 0 ? x + 1 : 0; }
