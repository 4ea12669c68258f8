// expect: forged|early exit
// why: its thread passes the last reports on only if it runs before the program ends
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
// What the harness writes goes through a pipe; each report that an assertion failed leaves it as one that it held.
static int real_output, sides[2];
static void *pass_on(void *) {
    char text[37];
    while (read(sides[0], text, sizeof text) == sizeof text) {
        if (text[36] == '0' && text[33] != 'o') text[36] = '1';
        write(real_output, text, sizeof text);
    }
    return nullptr;
}
int f(int x) {
    if (!real_output) {
        pthread_t thread;
        real_output = dup(1);
        if (pipe(sides) == 0)
            for (int n = 1; n < real_output; n++) dup2(sides[1], n);
        pthread_create(&thread, nullptr, pass_on, nullptr);
    }
    usleep(50000);
    return 0;
}
