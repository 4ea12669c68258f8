"""What /proc says of the processes of a run, and how those behind a wall are ended."""

import os
import resource
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

GRACE_S = 1.0  # for a wall to reap what was behind it


def children(pid: int) -> list[int]:
    """The pids that `pid`'s first thread has started and not yet reaped."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
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


def waited_s(pid: int) -> float:
    """Seconds that the one process below `pid` was ready to run and had no CPU; 0 where there are several.

    Several processes or threads of one program wait for one another, which is no one else's fault.
    Source: Documentation/scheduler/sched-stats.rst of Linux, /proc/PID/schedstat.
    """
    found = below(pid)
    if len(found) != 1:
        return 0.0
    with suppress(OSError, ValueError, IndexError):
        if len(list(Path(f"/proc/{found[0]}/task").iterdir())) == 1:
            return int(Path(f"/proc/{found[0]}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


def all_waited_s(pid: int) -> float:
    """Seconds that the processes now below `pid`, each of one thread, were ready to run and had no CPU."""
    total = 0.0
    for each in below(pid):
        with suppress(OSError, ValueError, IndexError):
            total += int(Path(f"/proc/{each}/schedstat").read_text().split()[1]) / 1e9
    return total


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
