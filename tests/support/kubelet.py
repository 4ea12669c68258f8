"""A node's kubelet that can be killed: `python tests/support/kubelet.py FOLDER` starts the pods whose specs the
stand-in API server (tests/soak/soak_cluster.py) puts into FOLDER, and reports how they end.

As on a real node it is not its pods' parent: a shim (containerd's there, `--shim` here) holds each pod, keeps its log
and its exit status, and lives on when the kubelet dies. A kubelet that starts again takes up what it finds.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main(folder: Path) -> None:
    """Start what has no shim yet, report what has ended, for ever."""
    while True:
        for spec in folder.glob("*/spec.json"):
            pod = spec.parent
            if not (pod / "shim").exists():
                command = [sys.executable, __file__, "--shim", str(pod)]
                subprocess.Popen(command, start_new_session=True)
                while not (pod / "pid").exists():
                    time.sleep(0.01)
            if (pod / "status").exists() and not (pod / "reported").exists():
                os.link(pod / "status", pod / "reported")
        time.sleep(0.05)


def shim(pod: Path) -> None:
    """Run the pod once, whoever asks again."""
    try:
        (pod / "shim").touch(exist_ok=False)
    except FileExistsError:
        return
    spec = json.loads((pod / "spec.json").read_text())
    with (pod / "log").open("wb") as log:
        process = subprocess.Popen(
            spec["command"],
            env=spec["environment"] | {"TIDEMILL_LOG": "debug"},  # a line for every save, for the tests
            cwd=spec["cwd"],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    write(pod / "pid", process.pid)
    write(pod / "status", process.wait())


def write(path: Path, number: int) -> None:
    """Nobody finds half of it."""
    partial = path.with_suffix(".new")
    partial.write_text(str(number))
    partial.rename(path)


if __name__ == "__main__":
    if sys.argv[1] == "--shim":
        shim(Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
