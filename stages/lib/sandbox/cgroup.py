"""A memory and pids cgroup around one run after another, where we may make one (root, or a delegated tree).

Without one, each process has its own limit of memory (RLIMIT_AS), and the sum is watched instead of held.
"""

import os
import signal
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

from stages.lib.sandbox.program import Limits

JOIN = 'while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; exec "$@"'
MOUNT = Path("/sys/fs/cgroup")
_number = count()


class Cgroup:
    """The folders of one group: one in cgroup v2, one for each controller in v1."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self._members = [f"{folder}/cgroup.procs" for folder in folders]
        events = (folder / name for folder in folders for name in ("memory.events", "memory.oom_control"))
        self._events = next((str(file) for file in events if file.exists()), os.devnull)

    def prefix(self) -> list[str]:
        """Words that make a command join the group before it starts."""
        return ["sh", "-c", JOIN, "sh", *self._members, "--"]

    def join(self, pid: int) -> None:
        """Put a process in; what it starts from then on is in too. OSError if it is gone."""
        for members in self._members:
            file = os.open(members, os.O_WRONLY)
            try:
                os.write(file, b"%d" % pid)
            finally:
                os.close(file)

    def kills(self) -> int:
        """How many processes the kernel has killed for want of memory."""
        words = _read(self._events).split()
        return int(dict(zip(words[::2], words[1::2], strict=True)).get(b"oom_kill", 0))

    def clear(self) -> None:
        """Kill whatever is left in the group, and wait until it is gone."""
        for _ in range(1000):
            pids = _read(self._members[0]).split()
            if not pids:
                return
            for pid in pids:
                _kill(int(pid))
            time.sleep(0.002)

    def close(self) -> None:
        """Remove the emptied group."""
        for folder in self.folders:
            folder.rmdir()


def create(limits: Limits) -> Cgroup | None:
    """A group with these limits; None where none can be made."""
    name = f"tidemill-{os.getpid()}-{next(_number)}"
    memory = str(limits.memory_mb << 20)
    values = {"memory.max": memory, "memory.limit_in_bytes": memory, "memory.swap.max": "0"}
    values["pids.max"] = str(limits.processes + 1)  # a cell's first process
    made: list[Path] = []
    try:
        _sweep()
        for parent in _parents():
            folder = parent / name
            folder.mkdir()
            made.append(folder)
            for key, value in values.items():
                if (folder / key).exists():
                    (folder / key).write_text(value)
            with (folder / "cgroup.procs").open("w"):
                pass
        if made and _holds(made):
            return Cgroup(made)
    except OSError:
        pass
    for folder in made:
        folder.rmdir()
    return None


def _sweep() -> None:
    """End what a scorer that was itself killed has left: its groups bear its pid."""
    for parent in _parents():
        for folder in parent.glob("tidemill-*-*"):
            if not Path(f"/proc/{folder.name.split('-')[1]}").exists():
                group = Cgroup([folder])
                group.clear()
                with suppress(OSError):
                    group.close()


def _holds(folders: list[Path]) -> bool:
    """True if memory and pids are both limited."""
    files = {file.name for folder in folders for file in folder.iterdir()}
    return "pids.max" in files and bool({"memory.max", "memory.limit_in_bytes"} & files)


def _parents() -> list[Path]:
    """Where a group may go: beside our own in v2 (a group with members has no children), below our own in v1."""
    own = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    if (MOUNT / "cgroup.controllers").exists():
        group = MOUNT / own.get("", "/").lstrip("/")
        return [group if group == MOUNT else group.parent]
    v1 = [MOUNT / name / own.get(name, "/").lstrip("/") for name in ("memory", "pids")]
    return [folder for folder in v1 if folder.is_dir()]


def _read(path: str) -> bytes:
    """What is in a file now, 64 KiB of it at most: these files are read for each program, and pathlib would cost more
    than the kernel does."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 1 << 16)
    finally:
        os.close(file)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
