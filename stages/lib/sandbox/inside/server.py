"""A server behind a wall that starts one program after another, each in a cell of its own (cell.py)."""

import gc
import os
import resource
import socket
from collections.abc import Callable

from . import cell, wire

Begin = Callable[[int, int], None]  # in the new process, with the two files that the supervisor passed


def serve(begin: Begin, tmp_mb: int) -> None:
    """Standard input is the supervisor's socket: for each program it passes two files, which `begin` gets, and where
    there is no wall the folder to begin in."""
    control = socket.socket(fileno=os.dup(0))
    empty = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(empty, standard)
    os.close(empty)
    os.umask(0o022)
    walled = os.environ.pop("SANDBOX_CELLS", "") == "1"
    if walled:
        cell.settle()
    gc.collect()
    gc.freeze()  # a collection in a fork would write to, and so copy, every page of what is loaded
    control.send(b"r")
    while True:
        folder, fds, _, _ = socket.recv_fds(control, 4096, 2)
        if len(fds) != 2:
            return
        if not walled:
            os.chdir(folder)
        ended = _one(control, fds, begin, tmp_mb, walled)
        wire.send(control.fileno(), ended)


def _one(control: socket.socket, fds: list[int], begin: Begin, tmp_mb: int, walled: bool) -> tuple[int | None, float]:
    """One cell from its first to its last process: (wait status, None if it was killed; CPU seconds)."""
    reader, writer = os.pipe()
    pid = cell.enter() if walled else os.fork()
    if pid == 0:
        try:
            _first_process(control, writer, reader, fds, begin, tmp_mb, walled)
        finally:
            os._exit(1)
    os.close(writer)
    for fd in fds:
        os.close(fd)
    try:
        status, used = wire.receive(reader)
    except (wire.Closed, wire.Malformed):
        status, used = None, 0.0
    os.close(reader)
    os.waitpid(pid, 0)  # returns when nothing is left in the cell
    return status, used


def _first_process(
    control: socket.socket, writer: int, reader: int, fds: list[int], begin: Begin, tmp_mb: int, walled: bool
) -> None:
    """Wait until the supervisor has put this process into its cgroup; start the program and wait for it.

    The kernel signs the byte that says "here" with this process's pid as the supervisor sees it.
    """
    os.close(reader)
    os.setsid()
    if walled:
        cell.close_up(tmp_mb)
    control.send(b"h")
    if control.recv(1) != b"g":
        os._exit(1)
    control.close()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(writer)
            os.setsid()
            begin(*fds)
        finally:
            os._exit(1)
    for fd in fds:
        os.close(fd)
    while True:
        ended, status = os.wait()
        if ended == pid:
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            wire.send(writer, (status, used.ru_utime + used.ru_stime))
            os._exit(0)
