// expect: compile error|timed out|out of memory
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
template <int a, int b> struct B { typedef typename B<a - 1, b * 2>::t x; typedef typename B<a - 1, b * 2 + 1>::t t; };
template <int b> struct B<0, b> { typedef int t; };
B<28, 1>::t z;
int f(int x) { return 0; }
