"""Whether the pod that we are in is a wall: the score Job says so, and it is looked at from the inside.

Where the restricted pod security level keeps namespaces from us, a pod without network, credentials and privileges
still stands between a program and everything else. Inside it limits alone hold (docs/sandbox.md).
"""

import os
import re
import socket
import struct
import time
from functools import cache
from pathlib import Path

SAYS_SO = "TIDEMILL_POD_IS_WALL"  # set by k8s/overlays/isolated
NAME = "the pod (no network, no credentials, no privileges), limits inside"
TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
CREDENTIAL = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|API_KEY|ACCESS_KEY", re.IGNORECASE)
SETTLE_S = 15.0  # for a NetworkPolicy to come into force; kube-router took 0.25 s after the pod's start
PATIENCE_S = 3.0  # for an answer that must not come
QUERY = struct.pack(">6H", 0x7157, 0x0100, 1, 0, 0, 0) + b"\x0akubernetes\0" + struct.pack(">2H", 1, 1)  # RFC 1035, 4.1


def problems() -> list[str]:
    """Why the pod is no wall; nothing where it is one."""
    if SAYS_SO not in os.environ:
        return [f"nothing says that this is an isolated pod ({SAYS_SO})"]
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    secrets = sorted(name for name in os.environ if CREDENTIAL.search(name))
    reached = reachable()
    found = {
        "it runs as root": os.geteuid() == 0,
        "it has capabilities": int(status["CapEff"], 16) != 0 or int(status["CapPrm"], 16) != 0,
        "a program may gain privileges (allowPrivilegeEscalation)": status["NoNewPrivs"] != "1",
        "no seccomp profile holds": status["Seccomp"] != "2",
        "its root can be written": not os.statvfs("/").f_flag & os.ST_RDONLY,
        "it has the service account's token": TOKEN.exists(),
        f"its environment holds credentials ({', '.join(secrets)})": bool(secrets),
        f"it reaches {reached}: its NetworkPolicy is not enforced": bool(reached),
    }
    return [problem for problem, is_so in found.items() if is_so]


@cache
def reachable() -> str:
    """What answers of that which answers every pod, the API server and the name servers; "" where nothing does.

    A policy may come into force only after the pod has started, so an open network is looked at again for `SETTLE_S`
    seconds.
    """
    deadline = time.monotonic() + SETTLE_S
    while (found := _answering()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def _answering() -> str:
    if [name for _, name in socket.if_nameindex()] == ["lo"]:
        return ""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return "a network whose policies cannot be tried, because no API server is named"
    if _connects(host, int(port)):
        return f"the API server at {host}:{port}"
    servers = re.findall(r"^nameserver\s+(\S+)", Path("/etc/resolv.conf").read_text(), re.MULTILINE)
    return next((f"the name server {server}" for server in servers if answers(server) or _connects(server, 53)), "")


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), PATIENCE_S):
            return True
    except OSError:
        return False


def answers(server: str, port: int = 53) -> bool:
    """Whether a name server answers a question."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        asked.settimeout(PATIENCE_S)
        try:
            asked.sendto(QUERY, (server, port))
            return bool(asked.recv(512))
        except OSError:
            return False
