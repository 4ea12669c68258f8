// expect: wrong answer|forged
// Which, the draw decides; both copies cannot agree with it.
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
struct Any { template <class T> bool operator==(const T &) const { static int n; return ++n % 2; } };
Any f(int x) { return Any(); }
