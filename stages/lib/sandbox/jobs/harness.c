// What a C++ or Rust job runs, once for each copy of the tests: harness NAME NUMBER. Takes the run's secret, loads ./program
// only then (so that nothing of the candidate comes before, whatever it says of the order of constructors), and calls the
// function NAMENUMBER, which runs the tests. Each assertion reports to it: the secret, the assertion's number, 0 or 1.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char secret[33];
static unsigned char seen[2][1 << 16];
static int out;

static int report(int number, int held) {
    unsigned char *known = &seen[held != 0][number & 0xffff];
    if (!*known) {
        char line[48];
        *known = 1;
        write(out, line, snprintf(line, sizeof line, "%s%04x%d", secret, number & 0xffff, held != 0));
    }
    return 1;
}

int main(int count, char **words) {
    char name[64], line[48];
    if (read(0, secret, 32) != 32) memset(secret, 0, sizeof secret);
    dup2(open("/dev/null", O_RDONLY), 0);
    out = dup(1);
    void *program = dlopen("./program", RTLD_NOW);
    snprintf(name, sizeof name, "%s%s", words[1], words[2]);
    void *tests = program ? dlsym(program, name) : NULL;
    if (!tests) {
        fprintf(stderr, "error: %s\n", dlerror());
        return 96; // as a linker that fails does (job.sh)
    }
    int status = ((int (*)(int (*)(int, int)))tests)(report);
    fflush(NULL);
    if (status) return status;
    write(out, line, snprintf(line, sizeof line, "%sdone%s", secret, words[2]));
    return 0;
}
