// expect: out of memory|timed out
// why: the compiler grows until it is stopped; on a slow machine its 30 s are over before its memory is
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
#include <sys/wait.h>
using namespace std;
template <int a, int b> struct B { typedef typename B<a - 1, b * 2>::t x; typedef typename B<a - 1, b * 2 + 1>::t t; };
template <int b> struct B<0, b> { typedef int t; };
B<28, 1>::t z;
int f(int x) { return 0; }
