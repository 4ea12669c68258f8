"""What /proc says of the processes of a run, and how those behind a wall are ended."""

import os
import resource
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
GRACE_S = 1.0  # for a wall to reap what was behind it


def children(pid: int) -> list[int]:
    """The pids that `pid` has started and not yet reaped."""
    found: list[int] = []
    for thread in _threads(pid):
        with suppress(OSError):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


def _threads(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(folder.name) for folder in Path(f"/proc/{pid}/task").iterdir()]
    return []


def below(pid: int) -> list[int]:
    """Every process below `pid`, itself left out."""
    found, pending = [], [pid]
    while pending:
        new = children(pending.pop())
        found += new
        pending += new
    return found


def resident(pid: int) -> int:
    """Bytes in memory of a process and everything below it, files in memory aside."""
    total = 0
    for each in (pid, *below(pid)):
        with suppress(OSError):
            _, pages, shared, *_ = map(int, Path(f"/proc/{each}/statm").read_text().split())
            total += (pages - shared) * os.sysconf("SC_PAGE_SIZE")
    return total


def activity(roots: list[int]) -> tuple[bool, dict[int, float]]:
    """Of these processes and all below them: whether a thread runs, or would if it had a CPU; and the CPU
    seconds of each thread. Source: proc_pid_stat(5)."""
    ready, used = False, {}
    for pid in {each for root in roots for each in (root, *below(root))}:
        for thread in _threads(pid):
            with suppress(OSError, ValueError, IndexError):
                words = Path(f"/proc/{pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()
                ready = ready or words[0] == "R"
                used[thread] = (int(words[11]) + int(words[12])) / TICKS
    return ready, used


def allow_cpu(pid: int, seconds: int) -> None:
    """Raise what each process below `pid` may use of the CPU, as far as its second limit allows."""
    for each in below(pid):
        with suppress(OSError, ValueError):
            _, most = resource.prlimit(each, resource.RLIMIT_CPU)
            resource.prlimit(each, resource.RLIMIT_CPU, (min(seconds, most), most))


def end(process: subprocess.Popen[Any]) -> None:
    """Kill everything behind a wall: its first process, and its namespace ends; the wall then reaps it and ends.

    A wall killed from outside would leave its first process to an init that may never reap it.
    """
    if process.poll() is not None:
        return
    for pid in children(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S if children(process.pid) else 0.005)
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
