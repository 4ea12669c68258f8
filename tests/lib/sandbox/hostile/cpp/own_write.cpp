// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
extern "C" ssize_t write(int, const void *, size_t n) { return n; }
extern "C" void *dlsym(void *, const char *) { return nullptr; }
extern "C" int memcmp(const void *, const void *, size_t) { return 0; }
int f(int x) { return 0; }
