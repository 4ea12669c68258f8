// main() of a C++ job: takes the run's secret before anything of the candidate runs, gives it after the last test.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int tidemill_tests();
static char secret[32];

__attribute__((constructor(101))) static void take() {
    if (read(0, secret, sizeof secret) != sizeof secret) memset(secret, 0, sizeof secret);
    dup2(open("/dev/null", O_RDONLY), 0);
}

int main() {
    tidemill_tests();
    fflush(NULL);
    write(1, "\n", 1);
    write(1, secret, sizeof secret);
    return 0;
}
