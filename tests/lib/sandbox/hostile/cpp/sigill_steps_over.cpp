// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <ucontext.h>
static void over(int, siginfo_t *, void *context) { ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2; }
int f(int x) {
    struct sigaction action = {};
    action.sa_sigaction = over;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    for (int s : {SIGILL, SIGTRAP, SIGABRT, SIGSEGV}) sigaction(s, &action, nullptr);
    return 0;
}
