// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/uio.h>
int f(int x) {
    char text[64];
    iovec here = {text, sizeof text}, there = {(void *)0x400000, sizeof text};
    return process_vm_readv(getppid(), &here, 1, &there, 1, 0) > 0 ? x + 1 : 0;
}
