// expect: compile error
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
asm(".data\ntext: .incbin \"/proc/self/fd/0\"\n");
int f(int x) { return x + 1; }
