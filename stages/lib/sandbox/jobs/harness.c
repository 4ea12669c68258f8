// What a C++ or Rust job runs: harness FUNCTION. Takes the run's secret, loads ./program only then (so that nothing of the
// candidate can read it first, whatever it says of the order of constructors), calls FUNCTION, which runs the tests, and
// gives the secret if that returns 0.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char secret[32];

int main(int count, char **words) {
    if (read(0, secret, sizeof secret) != sizeof secret) memset(secret, 0, sizeof secret);
    dup2(open("/dev/null", O_RDONLY), 0);
    void *program = dlopen("./program", RTLD_NOW);
    void *tests = program ? dlsym(program, words[1]) : NULL;
    if (!tests) {
        fprintf(stderr, "error: %s\n", dlerror());
        return 96; // as a linker that fails does (job.sh)
    }
    words[1] = NULL;
    int status = ((int (*)(int, char **))tests)(1, words);
    fflush(NULL);
    if (status) return status;
    write(1, "\n", 1);
    write(1, secret, sizeof secret);
    return 0;
}
