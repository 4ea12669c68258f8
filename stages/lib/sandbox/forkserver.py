"""The supervisor's hold on a process that forks cells (inside/server.py): one for each worker and kind of program."""

import os
import select
import signal
import socket
import struct
import subprocess
from contextlib import suppress
from dataclasses import dataclass

from stages.lib.sandbox import cgroup, processes
from stages.lib.sandbox.inside import wire
from stages.lib.sandbox.languages import Toolchain
from stages.lib.sandbox.program import Limits
from stages.lib.sandbox.walls import START_S, Isolation

GRACE_S = 30.0  # the most that a killed cell may take to be gone before the whole server is killed
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Lost(Exception):
    """The server is gone, or does not answer."""


@dataclass(frozen=True)
class Cell:
    """A candidate's first process: its pid here and the file descriptor that stands for it, which is never reused."""

    pid: int
    fd: int


@dataclass(frozen=True)
class Ended:
    """How a candidate ended: a wait status, None if it was killed with all its cell; the CPU seconds it used."""

    status: int | None
    cpu_s: float


class ForkServer:
    """Starts one candidate after another behind one outer wall; started when it is needed."""

    def __init__(self, isolation: Isolation, tools: Toolchain, limits: Limits) -> None:
        self.isolation, self.tools, self.limits = isolation, tools, limits
        self.process: subprocess.Popen[bytes] | None = None
        self.control: socket.socket | None = None

    def begin(self, source: int, output: int, group: cgroup.Cgroup | None, folder: str = ".") -> Cell:
        """A new cell, in the cgroup before the program starts in it; `folder`: where, if there is no wall. Raises
        Lost."""
        try:
            control = self.control or self._start()
            socket.send_fds(control, [folder.encode()], [source, output])
            pid = _signed(control)
            found = Cell(pid, os.pidfd_open(pid))
            if group is not None:
                group.join(pid)
            control.send(b"g")
        except OSError as error:
            self.stop()
            raise Lost(str(error)) from error
        return found

    def kill(self, cell: Cell) -> None:
        """Kill all of the cell, which stays to be ended."""
        if self.isolation.kind == "none":
            _kill_sessions(cell.pid)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(cell.fd, signal.SIGKILL)

    def end(self, cell: Cell) -> Ended:
        """Kill what is left in the cell; return when nothing is. A server that does not answer is killed."""
        self.kill(cell)
        os.close(cell.fd)
        if select.select([self.fileno()], [], [], GRACE_S)[0]:
            with suppress(wire.Closed, wire.Malformed, wire.TooLong, ValueError, TypeError):
                return Ended(*wire.receive(self.control.fileno()))  # type: ignore[union-attr]
        self.stop()
        return Ended(None, 0.0)

    def fileno(self) -> int:
        """Can be read as soon as the candidate has ended."""
        assert self.control is not None
        return self.control.fileno()

    def pids(self) -> list[int]:
        """The process below which all cells are, if there is one."""
        return [self.process.pid] if self.process else []

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        with theirs:
            self.process = subprocess.Popen(
                self.isolation.command(self.tools, self.limits.file_mb, self.tools.arguments(self.limits), cells=True),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self.isolation.environment(self.tools),
                start_new_session=True,
            )
        self.control = ours
        _signed(ours)
        return ours

    def stop(self) -> None:
        """Kill the server and all its cells; the next candidate starts another."""
        if self.process is not None:
            processes.end(self.process)
        if self.control is not None:
            self.control.close()
        self.process = self.control = None


def _signed(control: socket.socket) -> int:
    """Take one byte, and the pid of who wrote it, as the kernel says. OSError."""
    control.settimeout(START_S)
    said, extra, _, _ = control.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
    control.settimeout(None)
    for level, kind, data in extra:
        if said and level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return int(_CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0])
    raise OSError("the process behind the wall is gone")


def _kill_sessions(leader: int) -> None:
    """Where there is no wall: kill what the candidate has started, as far as it is still below it."""
    for pid in processes.below(leader):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
