// expect: forged
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
struct Any { template <class T> bool operator==(const T &) const { return true; } };
Any f(int x) { return Any(); }
