// expect: compile error
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
// Itself, loaded before everything else, and standard input rewound, if it still were the harness's.
int f(int x) {
    lseek(0, 0, SEEK_SET);
    char *words[] = {(char *)"harness", (char *)"tests", (char *)"0", nullptr};
    char *variables[] = {(char *)"LD_PRELOAD=./program", nullptr};
    execve("/kit/harness", words, variables);
    return 0;
}
