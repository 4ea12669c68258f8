// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/time.h>
#include <ucontext.h>
// A timer whose handler moves the instruction pointer on, wherever it is.
static void skip(int, siginfo_t *, void *given) { ((ucontext_t *)given)->uc_mcontext.gregs[REG_RAX] = 1; }
int f(int x) {
    struct sigaction action = {};
    action.sa_sigaction = skip;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGALRM, &action, nullptr);
    itimerval often = {{0, 50}, {0, 50}};
    setitimer(ITIMER_REAL, &often, nullptr);
    return 0;
}
