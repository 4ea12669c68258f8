"""Runs programs against their tests: one fresh wall for each candidate, one referee for each worker."""

import os
import queue
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from stages.lib.sandbox import cgroup, languages, walls
from stages.lib.sandbox.program import Limits, Outcome, Program, Verdict
from stages.lib.sandbox.referee import Referee
from stages.lib.sandbox.walls import Isolation

TICK_S = 0.05  # between two looks at a run without a cgroup
GRACE_S = 1.0  # for the last words of a process whose other side is gone


def isolation(allow_weak: bool = False) -> str:
    """The isolation in use, and what is weaker in it; BadInput where there is none and none was allowed."""
    with walls.find(allow_weak) as found:
        group = cgroup.create(Limits())
        if group is None:
            return f"{found.name}, memory and processes limited without cgroups"
        group.close()
        return f"{found.name}, cgroups"


def run_all(programs: Iterable[Program], limits: Limits, workers: int, allow_weak: bool = False) -> Iterator[Outcome]:
    """Run each program, `workers` at a time; outcomes come in the order of the programs.

    Raises BadInput for a language without an entry, and where there is no isolation and none was allowed.
    """
    programs = list(programs)
    tools = [languages.toolchain(language) for language in sorted({program.language for program in programs})]
    with walls.find(allow_weak, tools) as found, ThreadPoolExecutor(workers) as pool:
        slots: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        spare = languages.SPARE_PROCESSES if languages.NATIVE.keys() & {one.language for one in programs} else 0
        made = [_Slot(found, limits, spare) for _ in range(workers)]
        lane = _Lane(workers)
        for slot in made:
            slots.put(slot)
        pending: deque[Future[Outcome]] = deque()
        try:
            for program in programs:
                pending.append(pool.submit(_run, slots, lane, program))
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


from stages.lib.sandbox import compiled  # noqa: E402


class _Slot:
    """What a worker keeps from one run to the next: its referee, its Java compiler and its cgroup."""

    def __init__(self, found: Isolation, limits: Limits, spare_processes: int) -> None:
        self.isolation, self.limits = found, limits
        self.referee = Referee(found, limits)
        self.javac = compiled.Javac(found)
        self.group = cgroup.create(limits.model_copy(update={"processes": limits.processes + spare_processes}))

    def close(self) -> None:
        self.referee.stop()
        self.javac.stop()
        if self.group is not None:
            self.group.clear()
            self.group.close()


@dataclass
class _Run:
    """One run as it goes: what has ended it, and what it has said so far."""

    process: subprocess.Popen[bytes]
    started: float
    deadline: float
    stopped: tuple[Verdict, str] | None = None
    said: int = 0
    tail: bytes = field(default=b"", repr=False)

    def stop(self, verdict: Verdict, detail: str) -> None:
        self.stopped = self.stopped or (verdict, detail)
        _kill(self.process)


def _run(slots: "queue.SimpleQueue[_Slot]", lane: "_Lane", program: Program) -> Outcome:
    """Run it beside others; what timed out so is run again alone, and only that counts."""
    slot = slots.get()
    try:
        judge = _judge if program.language == "python" else compiled.judge
        with lane.shared():
            outcome = judge(slot, program)
        if outcome.verdict != "timed out" or not lane.crowded:
            return outcome
        with lane.alone():
            return judge(slot, program)
    finally:
        slots.put(slot)


class _Lane:
    """Any number of runs at once, or one alone."""

    def __init__(self, workers: int) -> None:
        self.crowded = workers > 1
        self._changed = threading.Condition()
        self._running, self._waiting = 0, 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._running)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._waiting -= 1
                self._changed.notify_all()


def _judge(slot: _Slot, program: Program) -> Outcome:
    tools = languages.toolchain(program.language)
    started = time.monotonic()
    kills = slot.group.kills() if slot.group else 0
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            command = slot.isolation.command(tools, slot.limits.file_mb, tools.arguments(slot.limits))
            process = subprocess.Popen(
                [*(slot.group.prefix() if slot.group else []), *command],
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=slot.isolation.environment(tools),
                start_new_session=True,
            )
        control = slot.referee.judge(program, ours)
    run = _Run(process, started, started + slot.limits.wall_s)
    try:
        verdict, detail = _watch(slot, run, control)
        if verdict == "gone":
            verdict, detail = _how_it_ended(slot, run, kills)
    finally:
        _kill(process)
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
        if slot.group is not None:
            slot.group.clear()
    assert verdict in get_args(Verdict), verdict
    return Outcome(verdict, detail, time.monotonic() - started)  # type: ignore[arg-type]


def _watch(slot: _Slot, run: _Run, control: socket.socket) -> tuple[str, str]:
    """Wait for the verdict, hold the run to its limits meanwhile."""
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(run.process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]
        while True:
            for key, _ in selector.select(_patience(slot, run)):
                if key.fileobj is control:
                    verdict = slot.referee.verdict()
                    return run.stopped or verdict
                if not _listen(slot, run):
                    selector.unregister(key.fileobj)
            now = time.monotonic()
            if run.stopped is None and now > run.deadline:
                run.stop("timed out", f"after {slot.limits.wall_s:g} s on the clock")
            if now > run.deadline + GRACE_S:
                slot.referee.stop()
                return run.stopped or ("timed out", "")
            if slot.group is None and _resident(run.process.pid) > slot.limits.memory_mb << 20:
                run.stop("out of memory", f"more than {slot.limits.memory_mb} MiB")


def _patience(slot: _Slot, run: _Run) -> float:
    left = run.deadline - time.monotonic()
    left = max(0.0, left if run.stopped is None else left + GRACE_S)
    return left if slot.group else min(left, TICK_S)


def _listen(slot: _Slot, run: _Run) -> bool:
    """Take what the program prints; False at its end."""
    part = os.read(run.process.stdout.fileno(), 1 << 16)  # type: ignore[union-attr]
    run.said += len(part)
    run.tail = (run.tail + part)[-500:]
    if run.said > slot.limits.output_kb << 10:
        run.stop("output limit", f"more than {slot.limits.output_kb} KiB printed")
        return False
    return bool(part)


def _how_it_ended(slot: _Slot, run: _Run, kills: int) -> tuple[str, str]:
    """The candidate left before its tests were over: why."""
    if run.stopped:
        return run.stopped
    with suppress(subprocess.TimeoutExpired):
        run.process.wait(GRACE_S)
    _kill(run.process)
    status = run.process.returncode
    number = -status if status < 0 else status - 128
    if slot.group and slot.group.kills() > kills:
        return "out of memory", f"killed at {slot.limits.memory_mb} MiB"
    if number == signal.SIGKILL and time.monotonic() - run.started > slot.limits.cpu_s - 0.2:  # RLIMIT_CPU
        return "timed out", f"after {slot.limits.cpu_s:g} s of CPU time"
    if number in set(signal.Signals):
        return "crash", signal.Signals(number).name
    tail = run.tail.decode("utf-8", "replace").strip().splitlines()
    return "early exit", f"exit status {status}{': ' + tail[-1][:200] if tail else ''}"


def _kill(process: subprocess.Popen[Any]) -> None:
    """Kill everything behind the wall: its first process, and its namespace ends; the wall then reaps it and ends.

    A wall killed from outside would leave its first process to an init that may never reap it.
    """
    if process.returncode is not None:
        return
    for pid in _children(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S if _children(process.pid) else 0.005)
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _resident(pid: int) -> int:
    """Bytes in memory of a process and everything below it, files in memory aside."""
    total, pids = 0, [pid]
    while pids:
        pid = pids.pop()
        pids += _children(pid)
        with suppress(OSError):
            _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
            total += (resident - shared) * os.sysconf("SC_PAGE_SIZE")
    return total
