"""A real SSH server (Debian's sshd) on a loopback port, for the user of the tests alone, with keys of its own."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {home}/.ssh/host
AuthorizedKeysFile {home}/.ssh/id_ed25519.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""


@contextmanager
def serve(home: Path, port: int) -> Iterator[None]:
    """Serve the files of this machine to whose home is `home`: its key is the one that is let in."""
    if not SSHD:
        pytest.skip("sshd, an SSH server, is not here: `apt-get install openssh-server`")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # which the system's own service would make
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    for name in ("host", "id_ed25519"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / ".ssh" / name)], check=True, timeout=240
        )
    (home / "config").write_text(CONFIG.format(home=home, port=port))
    with (home / "log").open("w") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(home / "config")], stderr=log)
        try:
            give_up = time.monotonic() + 240
            while not _answers(port):
                assert server.poll() is None and time.monotonic() < give_up, (home / "log").read_text()
                time.sleep(0.05)
            yield
        finally:
            server.kill()
            server.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
