"""Runs one program of a language whose tests and candidate share a process: built and run behind one wall.

A program has passed when the supervisor has read from each assertion of each copy of the tests what a right program
makes it say (control.py, harness.py, jobs/). An exit status proves nothing, nor does anything else that is printed.
"""

import os
import re
import secrets
import selectors
import signal
import time
from math import ceil
from tempfile import TemporaryDirectory
from typing import Any

from stages.lib.sandbox import control, harness, processes
from stages.lib.sandbox.clock import Clock
from stages.lib.sandbox.forkserver import Cell, Ended, ForkServer, Lost
from stages.lib.sandbox.javac import COMPILE_S
from stages.lib.sandbox.program import Outcome, Program
from stages.lib.sandbox.slot import GRACE_S, OUT_OF_CPU, TICK_S, Slot

NOT_BUILT = 96  # jobs/job.sh's exit status
_DECIDED = ("passed", "forged", "compile error")  # whatever was drawn
# How the languages' own words tell the tests' failure from the candidate's; a program can lie about it and fails.
WRONG = re.compile(r"Assertion `|Assertion failed|AssertionError|an assertion of the tests|assertion (?:`left|failed)")
MEMORY = re.compile(r"OutOfMemoryError|out of memory|bad_alloc|memory allocation of \d+ bytes failed")
RAISED = re.compile(r"terminate called|\bat .*(?:\.java:\d|Unknown Source)|Exception in|panic: |panicked at|Error\b")


def judge(slot: Slot, program: Program) -> Outcome:
    """Build and run; the limits of `slot` begin when the program does, and anew with the second copy of its tests.

    A program whose results change from run to run may contradict itself, and is no forger: only what does so twice is.
    How a program fails must not hang on the secret draw, which decides how far it gets: where it does, the tests as
    they are say it. They never say that a program passes.

    Raises ValueError for tests that the language's harness does not understand.
    """
    outcome, settled = _judge(slot, program, slot.control)
    if outcome.verdict == "forged" and outcome.detail.startswith(control.CONTRADICTION):
        outcome, settled = _judge(slot, program, slot.control)
    elif outcome.verdict == "compile error" and slot.control:  # perhaps another value is one that does not compile
        outcome, settled = _judge(slot, program, slot.control, values=False)
    if settled or outcome.verdict in _DECIDED:
        return outcome
    plain, _ = _judge(slot, program, False)
    return outcome if plain.verdict in _DECIDED else plain


def _judge(slot: Slot, program: Program, controlled: bool, values: bool = True) -> tuple[Outcome, bool]:
    """The outcome, and whether it would be the same with any other draw."""
    started = time.monotonic()
    job = harness.job(program, secrets.token_hex(8), controlled, values)
    files = {name: text.encode("utf-8", "replace") for name, text in job.files.items()}
    if program.language == "java":
        built, answer = slot.javac.compile(files["Main.java"])
        if not built:
            error = _first(answer.decode("utf-8", "replace"))
            return Outcome("compile error", error, time.monotonic() - started), True
        files = {"p.jar": answer}
    return _execute(slot, program, job, files, started)


def _execute(
    slot: Slot, program: Program, job: harness.Job, files: dict[str, bytes], started: float
) -> tuple[Outcome, bool]:
    built, secret = secrets.token_hex(16), secrets.token_hex(16)
    kills = slot.group.kills() if slot.group else 0
    header = f"{built} {len(job.copies)} {job.entry}"
    server = slot.job_server(program.language)
    with TemporaryDirectory(prefix="tidemill-") as folder, _input(header, files, secret * len(job.copies)) as source:
        cell, output = _begin(slot, server, source.fileno(), folder)
        clock = Clock(server.pids)
        sheet = control.Sheet(job.copies)
        running = _Job(slot, cell, output, built.encode(), secret.encode(), sheet, clock, program.tells)
        try:
            verdict, detail = running.watch()
            if verdict == "gone":
                clock.wait(server.fileno(), 10 * GRACE_S)
        finally:
            ended = server.end(cell)
            os.close(output)
            if slot.group is not None:
                slot.group.clear()
        if verdict == "gone":
            verdict, detail = running.how_it_ended(ended, kills)
    if program.tells and verdict == "passed":
        detail = running.tail.decode("utf-8", "replace")
    outcome = Outcome(verdict, detail, time.monotonic() - started)  # type: ignore[arg-type]
    return outcome, sheet.settles(verdict)


def _begin(slot: Slot, server: ForkServer, source: int, folder: str) -> tuple[Cell, int]:
    """A cell, and what it prints. A lost server is started again once."""
    for attempt in (1, 2):
        reader, writer = os.pipe()
        try:
            return server.begin(source, writer, slot.group, folder), reader
        except Lost:
            os.close(reader)
            if attempt == 2:
                raise
        finally:
            os.close(writer)
    raise AssertionError("unreachable")


def _input(header: str, files: dict[str, bytes], secret: str) -> Any:
    """What jobs/job.sh reads, as a file in memory: no pipe to fill, no file to be found."""
    stream = os.fdopen(os.memfd_create("job"), "w+b")
    stream.write(f"{header}\n".encode())
    for name, data in files.items():
        stream.write(f"{len(data)} {name}\n".encode() + data)
    stream.write(f"\n{secret}".encode())
    stream.flush()
    stream.seek(0)
    return stream


class _Job:
    """One job as it goes: built or not, what it has said, what its tests have reported."""

    def __init__(
        self,
        slot: Slot,
        cell: Cell,
        output: int,
        built: bytes,
        secret: bytes,
        sheet: control.Sheet,
        clock: Clock,
        tells: bool,
    ) -> None:
        self.slot, self.cell, self.output, self.sheet, self.clock = slot, cell, output, sheet, clock
        self.tells = tells
        self.word, self.report = built, re.compile(secret + rb"(?:done(\d)|([0-9a-f]{4})([01]))")
        self.longest = len(secret) + 4  # bytes of a report that is not whole yet
        self.built = False
        self.heard = b""  # not yet searched for reports
        self.tail = b""
        self.said = 0
        self.stopped: tuple[str, str] | None = None

    def watch(self) -> tuple[str, str]:
        """Wait for the verdict or the end ("gone"), hold the job to its limits meanwhile."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.output, selectors.EVENT_READ)
            while self.stopped is None:
                patience = self.clock.until_look(self.clock.left(self._most_s()))
                if selector.select(patience if self.slot.group else min(patience, TICK_S)):
                    part = os.read(self.output, 1 << 16)
                    if not part:
                        return "gone", ""
                    if verdict := self._hear(part):
                        return verdict
                self._limit()
        return self.stopped

    def _hear(self, part: bytes) -> tuple[str, str] | None:
        """Take what was printed; the verdict if a report in it decides."""
        self.heard += part
        if not self.built:
            if self.word not in self.heard:
                self._keep(max(0, len(self.heard) - len(self.word)))
                return None
            self.heard, self.tail, self.said, self.built = self.heard.partition(self.word)[2], b"", 0, True
            self.clock.begin()
        while found := self.report.search(self.heard):
            self._keep(found.start())
            self.heard = self.heard[found.end() - found.start() :]
            if verdict := self._take(*found.groups()):
                return verdict
        self._keep(max(0, len(self.heard) - self.longest))
        return None

    def _take(self, done: bytes | None, number: bytes, held: bytes) -> tuple[str, str] | None:
        if done is None:
            return self.sheet.report(int(number, 16), held == b"1")
        if int(done) != self.sheet.current:
            return "forged", "reported the end of tests that it does not run"
        verdict = self.sheet.finish()
        if verdict is None:
            processes.allow_cpu(self.cell.pid, ceil(self.slot.limits.cpu_s) * (self.sheet.current + 1))
            self.clock.begin()
        return verdict

    def _most_s(self) -> float:
        return self.slot.limits.wall_s if self.built else COMPILE_S

    def _keep(self, count: int) -> None:
        """Move so many bytes to what the program has said: the start of a compiler's words, the end of a program's, or
        all of what one says that tells."""
        self.said += count
        tail, self.heard = self.tail + self.heard[:count], self.heard[count:]
        if self.built and self.tells:
            self.tail = tail
            return
        self.tail = tail[:2000] if not self.built and len(tail) > 4000 else tail[-2000:] if self.built else tail

    def _limit(self) -> None:
        limits = self.slot.limits
        if self.clock.left(self._most_s()) <= 0:
            what = f"{limits.wall_s:g} s on the clock" if self.built else f"{COMPILE_S:g} s of compiling"
            self.stopped = "timed out", f"after {what}"
        elif self.said > limits.output_kb << 10:
            self.stopped = "output limit", f"more than {limits.output_kb} KiB printed"
        elif self.slot.group is None and processes.resident(self.cell.pid) > limits.memory_mb << 20:
            self.stopped = "out of memory", f"more than {limits.memory_mb} MiB"

    def how_it_ended(self, ended: Ended, kills: int) -> tuple[str, str]:
        """What the end of a job without a verdict was."""
        self._keep(len(self.heard))
        status = os.waitstatus_to_exitcode(signal.SIGKILL if ended.status is None else ended.status)
        number = -status if status < 0 else status - 128
        text = self.tail.decode("utf-8", "replace")
        if self.slot.group and self.slot.group.kills() > kills:
            return "out of memory", f"killed at {self.slot.limits.memory_mb} MiB"
        if status == NOT_BUILT:
            return "compile error", _first(text)
        if not self.built:
            return "compile error", f"exit status {status}: {_last(text)}"
        if number in (signal.SIGKILL, signal.SIGXCPU) and ended.cpu_s > OUT_OF_CPU * self.slot.limits.cpu_s:
            return "timed out", f"after {self.slot.limits.cpu_s:g} s of CPU time"
        if WRONG.search(text):
            return "wrong answer", _line(WRONG, text)
        if MEMORY.search(text):
            return "out of memory", _line(MEMORY, text)
        if RAISED.search(text):
            return "exception", _line(RAISED, text)
        if number in set(signal.Signals):
            return "crash", signal.Signals(number).name
        return "early exit", f"exit status {status}: {_last(text)}".rstrip(": ")


def _first(text: str) -> str:
    """The compiler's first error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "")[:200]


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else ""


def _line(pattern: re.Pattern[str], text: str) -> str:
    return next((line.strip() for line in text.splitlines() if pattern.search(line)), "")[:200]
