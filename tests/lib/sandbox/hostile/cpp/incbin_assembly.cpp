// expect: compile error
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
asm(".data\ntext: .incbin \"p.s\"\n");
int f(int x) { return x + 1; }
