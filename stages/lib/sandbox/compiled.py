"""Runs one program of a language whose tests and candidate share a process: built and run behind one wall.

A program has passed when the supervisor reads the run's secret, which the harness writes after the last test
(harness.py, jobs/). An exit status proves nothing, nor does anything else that is printed.
"""

import os
import re
import secrets
import selectors
import signal
import subprocess
import time
from tempfile import TemporaryDirectory
from typing import Any

from stages.lib.sandbox import harness, languages, processes
from stages.lib.sandbox.javac import COMPILE_S
from stages.lib.sandbox.program import Outcome, Program
from stages.lib.sandbox.slot import GRACE_S, OUT_OF_CPU, TICK_S, Slot

NOT_BUILT = 96  # jobs/job.sh's exit status
# How the languages' own words tell the tests' failure from the candidate's; a program can lie about it and fails.
WRONG = re.compile(r"Assertion `|Assertion failed|AssertionError|an assertion of the tests|assertion (?:`left|failed)")
MEMORY = re.compile(r"OutOfMemoryError|out of memory|bad_alloc|memory allocation of \d+ bytes failed")
RAISED = re.compile(r"terminate called|\bat .*(?:\.java:\d|Unknown Source)|Exception in|panic: |panicked at|Error\b")


def judge(slot: Slot, program: Program) -> Outcome:
    """Build and run; the limits of `slot` begin when the program does."""
    started = time.monotonic()
    word = secrets.token_hex(8)
    files = harness.files(program, word)
    if program.language == "java":
        built, answer = slot.javac.compile(files["Main.java"].encode("utf-8", "replace"))
        if not built:
            return Outcome("compile error", _first(answer.decode("utf-8", "replace")), time.monotonic() - started)
        return _execute(slot, program.language, {"p.jar": answer}, started)
    return _execute(
        slot, program.language, {name: text.encode("utf-8", "replace") for name, text in files.items()}, started
    )


def _execute(slot: Slot, language: str, files: dict[str, bytes], started: float) -> Outcome:
    tools = languages.toolchain(language)
    built, secret = secrets.token_hex(16), secrets.token_hex(16)
    kills = slot.group.kills() if slot.group else 0
    with TemporaryDirectory(prefix="tidemill-") as folder, _input(files, built, secret) as stdin:
        command = slot.isolation.command(tools, max(slot.limits.file_mb, 64), languages.job_arguments(slot.limits))
        process = subprocess.Popen(
            [*(slot.group.prefix() if slot.group else []), *command],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=slot.isolation.environment(tools),
            cwd=folder if slot.isolation.kind == "none" else None,
            start_new_session=True,
        )
        job = _Job(slot, process, built.encode(), secret.encode())
        try:
            verdict, detail = job.watch(kills)
        finally:
            processes.end(process)
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]
            if slot.group is not None:
                slot.group.clear()
    return Outcome(verdict, detail, time.monotonic() - started)  # type: ignore[arg-type]


def _input(files: dict[str, bytes], built: str, secret: str) -> Any:
    """What jobs/job.sh reads, as a file in memory: no pipe to fill, no file to be found."""
    stream = os.fdopen(os.memfd_create("job"), "w+b")
    stream.write(f"{built}\n".encode())
    for name, data in files.items():
        stream.write(f"{len(data)} {name}\n".encode() + data)
    stream.write(f"\n{secret}".encode())
    stream.flush()
    stream.seek(0)
    return stream


class _Job:
    """One job as it goes: built or not, what it has said."""

    def __init__(self, slot: Slot, process: subprocess.Popen[bytes], built: bytes, secret: bytes) -> None:
        self.slot, self.process, self.secret = slot, process, secret
        self.word = built
        self.built = False
        self.tail = b""
        self.said = 0
        self.begun = time.monotonic()
        self.deadline = self.begun + COMPILE_S
        self.stopped: tuple[str, str] | None = None

    def watch(self, kills: int) -> tuple[str, str]:
        """Wait for the secret or the end, hold the job to its limits meanwhile."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]
            while self.stopped is None:
                left = max(0.0, self.deadline - time.monotonic())
                if selector.select(left if self.slot.group else min(left, TICK_S)):
                    part = os.read(self.process.stdout.fileno(), 1 << 16)  # type: ignore[union-attr]
                    if not part:
                        return self._how_it_ended(kills)
                    if self._hear(part):
                        return "passed", ""
                self._limit()
        return self.stopped

    def _hear(self, part: bytes) -> bool:
        """Take what was printed; True if the secret is in it."""
        self.said += len(part)
        heard = self.tail + part
        if not self.built and self.word in heard:
            self.built, heard, self.said = True, heard.partition(self.word)[2], 0
            self.begun = time.monotonic()
            self.deadline = self.begun + self.slot.limits.wall_s
        self.tail = heard[:2000] if not self.built and len(heard) > 4000 else heard[-2000:]
        return self.built and self.secret in heard

    def _limit(self) -> None:
        limits = self.slot.limits
        if time.monotonic() > self.deadline:
            what = f"{limits.wall_s:g} s on the clock" if self.built else f"{COMPILE_S:g} s of compiling"
            self.stopped = "timed out", f"after {what}"
        elif self.said > limits.output_kb << 10:
            self.stopped = "output limit", f"more than {limits.output_kb} KiB printed"
        elif self.slot.group is None and processes.resident(self.process.pid) > limits.memory_mb << 20:
            self.stopped = "out of memory", f"more than {limits.memory_mb} MiB"

    def _how_it_ended(self, kills: int) -> tuple[str, str]:
        status = self.process.wait(GRACE_S * 10)
        number = -status if status < 0 else status - 128
        text = self.tail.decode("utf-8", "replace")
        if self.slot.group and self.slot.group.kills() > kills:
            return "out of memory", f"killed at {self.slot.limits.memory_mb} MiB"
        if status == NOT_BUILT:
            return "compile error", _first(text)
        if not self.built:
            return "compile error", f"exit status {status}: {_last(text)}"
        spent = time.monotonic() - self.begun
        if number in (signal.SIGKILL, signal.SIGXCPU) and spent > OUT_OF_CPU * self.slot.limits.cpu_s:
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
