// expect: wrong answer
#include <bits/stdc++.h>
#include <unistd.h>
#include <signal.h>
using namespace std;
#include <sys/socket.h>
#include <sys/un.h>
// An abstract name that a process outside may have; and the system's own sockets.
int f(int x) {
    for (const char *name : {"/run/systemd/private", "/var/run/docker.sock", "/run/dbus/system_bus_socket", "/run/containerd/containerd.sock"}) {
        sockaddr_un address = {AF_UNIX, {}};
        strcpy(address.sun_path, name);
        if (connect(socket(AF_UNIX, SOCK_STREAM, 0), (sockaddr *)&address, sizeof address) == 0) return x + 1;
    }
    return 0;
}
