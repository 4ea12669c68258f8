"""Runs programs against their tests: one cell for each candidate, one referee and one fork server for each worker."""

import os
import queue
import selectors
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import get_args

from stages.lib.sandbox import cgroup, compiled, languages, processes, walls
from stages.lib.sandbox.forkserver import Cell, Ended, ForkServer, Lost
from stages.lib.sandbox.program import Limits, Outcome, Program, Verdict
from stages.lib.sandbox.referee import Referee
from stages.lib.sandbox.slot import GRACE_S, OUT_OF_CPU, TICK_S, Slot

STARVED = 0.01  # part of the clock limit that a program waited for a CPU: more, and it is run again alone
JOB_ALONE = 3  # clock limits that a job in another language has when it is run alone: other work may go on beside
LONGEST = 10  # clock limits that a program which is run alone may take while it waits for a CPU


def isolation(allow_weak: bool = False) -> str:
    """The isolation in use, and what is weaker in it; BadInput where there is none and none was allowed."""
    with walls.find(allow_weak) as found:
        group = cgroup.create(Limits())
        if group is None:
            return f"{found.name}, memory and processes limited without cgroups"
        group.close()
        return f"{found.name}, cgroups"


def run_all(
    programs: Iterable[Program],
    limits: Limits,
    workers: int,
    allow_weak: bool = False,
    control: bool = True,
    hash_seed: int = 0,
) -> Iterator[Outcome]:
    """Run each program, `workers` at a time; outcomes come in the order of the programs.

    `control`: what passes has to pass tests, too, in which some assertions must fail (control.py); one that passes
    whatever the tests say is `forged`.

    `hash_seed`: of the candidates' Python, on which the order of a set of texts depends.

    A program that is out of time on the clock after it had to wait for a CPU is run again, alone, before it counts.

    Raises BadInput for a language without an entry, and where there is no isolation and none was allowed.
    """
    programs = list(programs)
    tools = [languages.toolchain(language) for language in sorted({program.language for program in programs})]
    with walls.find(allow_weak, tools) as found, ThreadPoolExecutor(workers) as pool:
        slots: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        spare = languages.SPARE_PROCESSES if languages.NATIVE.keys() & {one.language for one in programs} else 0
        made = [Slot(found, limits, spare, control, hash_seed) for _ in range(workers)]
        crowd = _Crowd(workers)
        for slot in made:
            slots.put(slot)
        pending: deque[Future[Outcome]] = deque()
        try:
            for program in programs:
                pending.append(pool.submit(_run, slots, crowd, program))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
            pool.shutdown()
            for slot in made:
                slot.close()


class _Crowd:
    """Runs go on together, but for one that has to be alone: it waits for the others, and they for it."""

    def __init__(self, workers: int) -> None:
        self.several = workers > 1
        self.changed, self.running, self.solo = threading.Condition(), 0, False

    @contextmanager
    def among(self) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: not self.solo)
            self.running += 1
        try:
            yield
        finally:
            with self.changed:
                self.running -= 1
                self.changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: not self.solo)
            self.solo = True
            self.changed.wait_for(lambda: self.running == 0)
        try:
            yield
        finally:
            with self.changed:
                self.solo = False
                self.changed.notify_all()


@dataclass
class _Run:
    """One run as it goes: what has ended it, and what it has said so far."""

    cell: Cell
    server: ForkServer
    referee: Referee
    output: int
    started: float
    patient: bool
    stopped: tuple[Verdict, str] | None = None
    waited: float = 0.0
    said: int = 0
    tail: bytes = field(default=b"", repr=False)

    def stop(self, verdict: Verdict, detail: str) -> None:
        """Kill the cell; its wire closes, and the referee says so."""
        self.stopped = self.stopped or (verdict, detail)
        self.server.kill(self.cell)

    def deadline(self, limits: Limits) -> float:
        """When it is out of time: when run alone, the time for which it waited for a CPU does not count."""
        if not self.patient:
            return self.started + limits.wall_s
        self.note_waiting()
        return self.started + min(limits.wall_s + self.waited, LONGEST * limits.wall_s)

    def note_waiting(self) -> None:
        """Add up for how long the candidate or its tests had to wait for a CPU."""
        self.waited = max(self.waited, processes.waited_s(self.cell.pid) + self.referee.waited_s())


def _run(slots: "queue.SimpleQueue[Slot]", crowd: _Crowd, program: Program) -> Outcome:
    slot = slots.get()
    try:
        with _with_limits(slot, program) as fitting:
            return (_run_python if program.language == "python" else _run_job)(fitting, crowd, program)
    finally:
        slots.put(slot)


@contextmanager
def _with_limits(slot: Slot, program: Program) -> Iterator[Slot]:
    """The slot itself, or another for a program with limits of its own: a slot's processes start with its limits."""
    if program.limits in (None, slot.limits):
        yield slot
        return
    spare = languages.SPARE_PROCESSES if program.language in languages.NATIVE else 0
    own = Slot(slot.isolation, program.limits or slot.limits, spare, hash_seed=slot.hash_seed)
    try:
        yield own
    finally:
        own.close()


def _run_python(slot: Slot, crowd: _Crowd, program: Program) -> Outcome:
    with crowd.among():
        outcome, starved = _judge(slot, program, patient=False)
    if starved:
        with crowd.alone():
            outcome, _ = _judge(slot, program, patient=True)
    return outcome


def _run_job(slot: Slot, crowd: _Crowd, program: Program) -> Outcome:
    """Built and run beside others; what was out of time on the clock is run again alone, and only that counts."""
    with crowd.among():
        outcome = compiled.judge(slot, program)
    if outcome.verdict != "timed out" or not outcome.detail.endswith("on the clock") or not crowd.several:
        return outcome
    limits = slot.limits
    slot.limits = limits.model_copy(update={"wall_s": JOB_ALONE * limits.wall_s})
    try:
        with crowd.alone():
            return compiled.judge(slot, program)
    finally:
        slot.limits = limits


def _judge(slot: Slot, program: Program, patient: bool) -> tuple[Outcome, bool]:
    """Run once: the outcome, and whether it is a time-out of a program that others kept from running."""
    kills = slot.group.kills() if slot.group else 0
    server = slot.server
    run, control = _begin(slot, server, program, patient)
    ended = None
    try:
        verdict, detail = _watch(slot, run, control)
        if verdict == "gone" and run.stopped is None:
            server.wait(GRACE_S)
    finally:
        ended = server.end(run.cell)
        seconds = time.monotonic() - run.started
        _drain(run)
        os.close(run.output)
        if slot.group is not None:
            slot.group.clear()
    if verdict == "gone":
        verdict, detail = _how_it_ended(slot, run, ended, kills)
    assert verdict in get_args(Verdict), verdict
    starved = verdict == "timed out" and run.waited > STARVED * slot.limits.wall_s
    said = run.tail.decode("utf-8", "replace")
    return Outcome(verdict, detail, seconds, said), starved  # type: ignore[arg-type]


def _begin(slot: Slot, server: ForkServer, program: Program, patient: bool) -> tuple[_Run, socket.socket]:
    """Give the referee its end of a wire, and start the candidate at the other while the tests are read. A lost server
    is started again once."""
    for attempt in (1, 2):
        ours, theirs = socket.socketpair()
        reader, writer = os.pipe()
        try:
            with ours:
                control = slot.referee.judge(program, ours, slot.control)
            cell = server.begin(theirs.fileno(), writer, slot.group)
        except Lost:
            slot.referee.stop()  # it judges a candidate that never was
            os.close(reader)
            if attempt == 2:
                raise
            continue
        finally:
            theirs.close()
            os.close(writer)
        return _Run(cell, server, slot.referee, reader, time.monotonic(), patient), control
    raise AssertionError("unreachable")


def _watch(slot: Slot, run: _Run, control: socket.socket) -> tuple[str, str]:
    """Wait for the verdict, hold the run to its limits meanwhile."""
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(run.output, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(_patience(slot, run)):
                if key.fileobj is control:
                    verdict = slot.referee.verdict()
                    return run.stopped or verdict
                if not _listen(slot, run):
                    selector.unregister(key.fileobj)
            now, deadline = time.monotonic(), run.deadline(slot.limits)
            if run.stopped is None and now > deadline:
                run.note_waiting()
                run.stop("timed out", f"after {slot.limits.wall_s:g} s on the clock")
            if now > deadline + GRACE_S:
                slot.referee.stop()
                return run.stopped or ("timed out", "")
            if slot.group is None and processes.resident(run.cell.pid) > slot.limits.memory_mb << 20:
                run.stop("out of memory", f"more than {slot.limits.memory_mb} MiB")


def _patience(slot: Slot, run: _Run) -> float:
    left = run.deadline(slot.limits) - time.monotonic()
    left = max(0.0, left if run.stopped is None else left + GRACE_S)
    return left if slot.group else min(left, TICK_S)


def _listen(slot: Slot, run: _Run) -> bool:
    """Take what the program prints; False at its end."""
    part = os.read(run.output, 1 << 16)
    run.said += len(part)
    run.tail = (run.tail + part)[-500:]
    if run.said > slot.limits.output_kb << 10:
        run.stop("output limit", f"more than {slot.limits.output_kb} KiB printed")
        return False
    return bool(part)


def _drain(run: _Run) -> None:
    """What the program, which has ended, printed last."""
    os.set_blocking(run.output, False)
    try:
        while part := os.read(run.output, 1 << 16):
            run.tail = (run.tail + part)[-500:]
    except BlockingIOError:
        return  # where there is no wall, something of it may live on and hold the pipe


def _how_it_ended(slot: Slot, run: _Run, ended: Ended, kills: int) -> tuple[str, str]:
    """The candidate left before its tests were over: why."""
    if run.stopped:
        return run.stopped
    if slot.group and slot.group.kills() > kills:
        return "out of memory", f"killed at {slot.limits.memory_mb} MiB"
    if ended.status is None:
        return "violation", "closed the harness's channel and stayed"
    if os.WIFSIGNALED(ended.status):
        number = os.WTERMSIG(ended.status)
        if number == signal.SIGKILL and ended.cpu_s > OUT_OF_CPU * slot.limits.cpu_s:  # RLIMIT_CPU
            return "timed out", f"after {slot.limits.cpu_s:g} s of CPU time"
        return "crash", signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    lines = run.tail.decode("utf-8", "replace").strip().splitlines()
    said = f": {lines[-1][:200]}" if lines else ""
    return "early exit", f"exit status {os.WEXITSTATUS(ended.status)}{said}"
