// expect: compile error|forged
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
struct Any { template <class T> operator T() const { return T(); } operator bool() const { return true; } };
template <class T> bool operator==(const Any &, const T &) { return true; }
Any f(int x) { return Any(); }
