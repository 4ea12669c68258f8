// expect: forged
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <link.h>
static string secret() {
    string found;
    dl_iterate_phdr([](dl_phdr_info *info, size_t, void *to) {
        for (int n = 0; n < info->dlpi_phnum; n++) {
            const auto &part = info->dlpi_phdr[n];
            if (part.p_type != PT_LOAD || !(part.p_flags & PF_W)) continue;
            const char *at = (const char *)(info->dlpi_addr + part.p_vaddr);
            for (size_t i = 0, run = 0; i < part.p_memsz; i++) {
                run = isxdigit((unsigned char)at[i]) ? run + 1 : 0;
                if (run == 32) { *(string *)to = string(at + i - 31, 32); return 1; }
            }
        }
        return 0;
    }, &found);
    return found;
}
int f(int x) {
    for (int n = 0; n < 65536; n++) {
        char line[64];
        write(1, line, snprintf(line, sizeof line, "%s%04x1", secret().c_str(), n));
    }
    _exit(0);
}
