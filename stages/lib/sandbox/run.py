"""Runs programs against their tests: one cell for each candidate, one referee and one fork server for each worker."""

import os
import queue
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import get_args

from stages.lib.sandbox import cgroup, compiled, languages, processes, walls
from stages.lib.sandbox.clock import Clock
from stages.lib.sandbox.forkserver import Cell, Ended, ForkServer, Lost
from stages.lib.sandbox.program import Limits, Outcome, Program, Verdict
from stages.lib.sandbox.slot import GRACE_S, OUT_OF_CPU, TICK_S, Slot


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

    Raises BadInput for a language without an entry, and where there is no isolation and none was allowed.
    """
    programs = list(programs)
    with session({one.language for one in programs}, limits, workers, allow_weak, control, hash_seed) as run:
        yield from run(programs)


@contextmanager
def session(
    spoken: Iterable[str],
    limits: Limits,
    workers: int,
    allow_weak: bool = False,
    control: bool = True,
    hash_seed: int = 0,
) -> Iterator[Callable[[Iterable[Program]], Iterator[Outcome]]]:
    """As `run_all`, for many batches of programs in these languages: walls and servers are built once."""
    names = sorted(set(spoken))
    tools = [languages.toolchain(language) for language in names]
    with walls.find(allow_weak, tools) as found, ThreadPoolExecutor(workers) as pool:
        slots: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        spare = languages.SPARE_PROCESSES if languages.NATIVE.keys() & set(names) else 0
        made = [Slot(found, limits, spare, control, hash_seed) for _ in range(workers)]
        for slot in made:
            slots.put(slot)
        try:
            yield lambda programs: _run_batch(pool, slots, workers, programs)
        finally:
            pool.shutdown()
            for slot in made:
                slot.close()


def _run_batch(
    pool: ThreadPoolExecutor, slots: "queue.SimpleQueue[Slot]", workers: int, programs: Iterable[Program]
) -> Iterator[Outcome]:
    pending: deque[Future[Outcome]] = deque()
    try:
        for program in programs:
            pending.append(pool.submit(_run, slots, program))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


@dataclass
class _Run:
    """One run as it goes: what has ended it, and what it has said so far."""

    cell: Cell
    server: ForkServer
    output: int
    clock: Clock
    passed: tuple[Verdict, str] | None = None  # its tests: the control run is what goes on
    stopped: tuple[Verdict, str] | None = None
    said: int = 0
    tail: bytes = field(default=b"", repr=False)

    def stop(self, verdict: Verdict, detail: str) -> None:
        """Kill the cell; its wire closes, and the referee says so."""
        self.stopped = self.stopped or (verdict, detail)
        self.server.kill(self.cell)


def _run(slots: "queue.SimpleQueue[Slot]", program: Program) -> Outcome:
    slot = slots.get()
    try:
        with _with_limits(slot, program) as fitting:
            return (_judge if program.language == "python" else compiled.judge)(fitting, program)
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


def _judge(slot: Slot, program: Program) -> Outcome:
    kills = slot.group.kills() if slot.group else 0
    server = slot.server
    run, control = _begin(slot, server, program)
    ended = None
    try:
        verdict, detail = _watch(slot, run, control)
        if verdict == "gone" and run.stopped is None:
            run.clock.wait(server.fileno(), GRACE_S)
    finally:
        ended = server.end(run.cell)
        seconds = time.monotonic() - run.clock.started
        _drain(run)
        os.close(run.output)
        if slot.group is not None:
            slot.group.clear()
    if verdict == "gone":
        verdict, detail = _how_it_ended(slot, run, ended, kills)
    assert verdict in get_args(Verdict), verdict
    return Outcome(verdict, detail, seconds, run.tail.decode("utf-8", "replace"))  # type: ignore[arg-type]


def _begin(slot: Slot, server: ForkServer, program: Program) -> tuple[_Run, socket.socket]:
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
        return _Run(cell, server, reader, Clock(lambda: [*server.pids(), *slot.referee.pids()])), control
    raise AssertionError("unreachable")


def _watch(slot: Slot, run: _Run, control: socket.socket) -> tuple[str, str]:
    """Wait for the verdict, hold the run to its limits meanwhile."""
    limits = slot.limits
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(run.output, selectors.EVENT_READ)
        while (left := run.clock.left(limits.wall_s)) > 0:
            for key, _ in selector.select(_patience(slot, run.clock.until_look(left))):
                if key.fileobj is control:
                    verdict, detail = slot.referee.verdict()
                    if verdict != "control":
                        return run.stopped or (verdict, detail)
                    run.passed = "passed", detail
                    run.clock.begin()
                elif not _listen(slot, run):
                    selector.unregister(key.fileobj)
            if slot.group is None and processes.resident(run.cell.pid) > limits.memory_mb << 20:
                run.stop("out of memory", f"more than {limits.memory_mb} MiB")
    run.stop(*(run.passed or ("timed out", f"after {limits.wall_s:g} s on the clock")))
    if not run.clock.wait(control.fileno(), GRACE_S) or slot.referee.verdict()[0] == "control":
        slot.referee.stop()
    assert run.stopped is not None
    return run.stopped


def _patience(slot: Slot, seconds: float) -> float:
    return seconds if slot.group else min(seconds, TICK_S)


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
