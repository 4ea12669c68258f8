"""What a pod's program does as a container's first process, and with a volume that is not its own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from workspace import REPOSITORY

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a process namespace, and another user, take root here")
PROGRAM = REPOSITORY / "k8s/base/pod.py"
TOLD = {**os.environ, "STAGE": "score", "COMMIT": "HEAD"}


def start(body: str) -> "subprocess.Popen[str]":
    """`body` in place of `main`, by pod.py as the first process of a namespace."""
    if not shutil.which("unshare"):
        pytest.skip("unshare, which makes a process namespace, is not here")
    lines = [
        f"import os, signal, sys\nsys.path.insert(0, {str(PROGRAM.parent)!r})\nimport pod",
        "def main(phases):",
        *(f"    {line}" for line in body.splitlines()),
        "pod.main = main\nassert os.getpid() == 1",
    ]
    program = "\n".join(lines)
    command = [
        *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *(sys.executable, "-c", f"{program}\nsys.exit(pod.first([]))"),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=TOLD)


def test_what_others_leave_behind_is_reaped() -> None:
    body = """
import pathlib, subprocess, time
subprocess.run(["sh", "-c", "for i in 1 2 3; do sleep 0.1 & done; sleep 600 & kill -9 $!"], check=True)
give_up = time.monotonic() + 240
while True:
    stats = [file.read_text().rpartition(")")[2].split() for file in pathlib.Path("/proc").glob("[0-9]*/stat")]
    orphans = [state for state, parent, *_ in stats if parent == "1"]
    if len(orphans) == 1:
        return 9  # this process alone
    assert time.monotonic() < give_up, stats
    time.sleep(0.05)
""".strip()
    process = start(body)
    process.communicate(timeout=120)
    assert process.returncode == 9, "and the status is the child's"


def test_sigterm_reaches_the_work() -> None:
    body = """
def stop(*_):
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
signal.pause()
""".strip()
    process = start(body)
    assert process.stdout and process.stdout.readline() == "ready\n"
    (inner,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(inner), signal.SIGTERM)
    assert process.wait(60) == 75


def test_a_volume_that_the_pod_may_not_write_to() -> None:
    command = ["/usr/bin/env", "python3", "-c", PROGRAM.read_text(), "fetch"]
    with tempfile.TemporaryDirectory() as folder:  # root's alone, as some provisioners make the folders of hostPath
        told = {**TOLD, "PATH": "/usr/local/bin:/usr/bin:/bin", "WORKSPACE": folder}
        ran = subprocess.run(
            command, env=told, user=65534, group=65534, cwd="/", capture_output=True, text=True, timeout=240
        )
    assert ran.returncode == 3, ran.stderr
    assert f"may not write to the volume at {folder}: its storage class ignores fsGroup" in ran.stderr
