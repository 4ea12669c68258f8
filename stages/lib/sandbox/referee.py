"""The supervisor's hold on a referee: the process that runs the trusted tests (inside/referee.py)."""

import secrets
import select
import socket
import subprocess

from stages.lib.sandbox import languages
from stages.lib.sandbox.forkserver import Lost
from stages.lib.sandbox.inside import wire
from stages.lib.sandbox.program import Limits, Program
from stages.lib.sandbox.walls import START_S, Isolation


class Referee:
    """One process behind a wall of its own, which judges one program after another; started when it is needed."""

    def __init__(self, isolation: Isolation, limits: Limits) -> None:
        self.isolation, self.limits = isolation, limits
        self.process: subprocess.Popen[bytes] | None = None
        self.control: socket.socket | None = None
        self.token = ""

    def judge(self, program: Program, channel: socket.socket, controlled: bool) -> socket.socket:
        """Begin a program whose candidate is at the other end of `channel`; the verdict comes on the result.
        `controlled`: with the control run."""
        control = self.control or self._start()
        self.token = secrets.token_hex(16)
        job = (self.token, program.candidate, program.helpers, program.tests, program.entry_point, controlled)
        socket.send_fds(control, [b"."], [channel.fileno()])
        wire.send(control.fileno(), job)
        return control

    def verdict(self) -> tuple[str, str]:
        """Read the verdict and its detail, or first `control`: the tests have passed, and the control run begins.
        Both count only with the run's token."""
        assert self.control is not None
        try:
            verdict, detail, token = wire.receive(self.control.fileno())
        except (wire.Closed, wire.Malformed, wire.TooLong, ValueError):
            self.stop()
            return "violation", "the process that runs the tests was lost"
        if verdict in ("passed", "control") and token != self.token:
            return "violation", "passed without the run's token"
        return verdict, detail

    def pids(self) -> list[int]:
        """The process below which the tests run, if there is one."""
        return [self.process.pid] if self.process else []

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        tools = languages.REFEREE
        with theirs:
            self.process = subprocess.Popen(
                self.isolation.command(tools, 1, tools.arguments(self.limits)),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self.isolation.environment(tools),
                start_new_session=True,
            )
        self.control = ours
        ready, _, _ = select.select([ours], [], [], START_S)  # no program's time is spent on starting a Python
        if not ready or ours.recv(1) != b"r":
            self.stop()
            raise Lost("the process that runs the tests did not start")
        return ours

    def stop(self) -> None:
        """Kill the process; the next program starts another."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if self.control is not None:
            self.control.close()
        self.process = self.control = None
