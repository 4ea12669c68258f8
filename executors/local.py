"""EXECUTOR=local: a stage runs in the process that `dvc repro` starts, in this environment.

Each stale stage starts as soon as everything upstream is done. One runs at normal priority: of those that are ready,
the one for which most others wait. Others start beside it where memory suffices (`needs`), at the lowest priority, and
so get what it leaves of the processors. JOBS=1 in the environment runs one at a time.
"""

import os
import signal
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from executors import needs, order
from executors.order import say
from executors.progress import display
from executors.tracking import graph, recover, repro, single
from executors.tracking.graph import Step
from stages.lib.errors import CRASHED, DONE, INTERRUPTED, PREEMPTED, BadInput

SIGNS: display.Signs = (
    (repro.RUNNING, "running"),
    (repro.UNCHANGED, "unchanged"),
    (repro.FINISHED, "done"),
    (repro.ECHO, None),
)
JOBS = "JOBS"
LOWEST = 19  # the niceness of what runs beside another
GRACE_S = 2.0  # for the last lines of a process that outlives its stage


def run(stages: Sequence[str]) -> int:
    """Bring `stages` (all if none is named) up to date; once more if that failed on DVC files that a kill had damaged
    and `recover` could repair. Returns 0, DVC's status for the first failure, 75 after SIGTERM or 130 after Ctrl-C.

    Raises `BadInput` if JOBS is no number.
    """
    began, most = time.time(), jobs()
    with display.live(lambda: graph.names(stages), SIGNS):
        status = _run(stages, most)
        if status and status not in (PREEMPTED, INTERRUPTED) and recover.main() == DONE:
            status = _run(stages, most)
    if not status and (took := display.recorded(began)):
        rest = {"DVC, and starting": display.uncovered(took, began, time.time())}
        display.tell_times({name: end - start for name, (start, end) in took.items()} | rest, time.time() - began)
    return status


def enter(stage: str, words: Sequence[str]) -> None:
    """Nothing to do: the stage runs in this process."""


def jobs() -> float:
    """How many stages may run at once, by JOBS; any number if it is not set."""
    word = os.environ.get(JOBS, "")
    if word and not (word.isdecimal() and int(word)):
        raise BadInput(f"{JOBS}={word}: say how many stages may run at once, such as {JOBS}=1")
    return int(word) if word else float("inf")


def _run(stages: Sequence[str], most: float) -> int:
    try:
        planned, known = graph.plan(stages)
    except graph.Unreadable:
        return repro.run(stages)
    for name, step in planned.items():
        if step.fresh:
            say(repro.unchanged(name))
    if all(step.fresh for step in planned.values()):
        say(repro.UP_TO_DATE)
        return 0
    with Run(planned, most).stopping() as this:
        status = this.through()
    if this.moral:
        say(this.moral)
    graph.arrange(known, list(planned))
    return this.stopped or status


class Run:
    """One run: its processes, of which one is at normal priority."""

    def __init__(self, planned: Mapping[str, Step], most: float) -> None:
        self.planned, self.most = planned, most
        self.room = needs.room()
        self.first: str | None = None  # the stage at normal priority
        self.stopped = 0  # the status of a run that was stopped from outside
        self.moral = ""  # of a failure, to be said when the others have ended
        self._turn = threading.Lock()
        self._over = False
        self._working: dict[str, single.Single] = {}

    def through(self) -> int:
        """Run all that is stale; returns 0 or the status of the first failure."""
        waiting = {name: sum(name in _upstream(self.planned, other) for other in self.planned) for name in self.planned}
        names = sorted(self.planned, key=lambda name: -waiting[name])  # upstream first, since more waits for it
        return order.through(names, lambda: self.planned, self.one, self.admits)

    def admits(self, name: str, running: Collection[str]) -> bool:
        """Whether `name` may start beside those that run."""
        return len(running) < self.most and needs.fit({name, *running}, self.room)

    def one(self, step: Step) -> int:
        """Run one stage to its end. If it fails, the others are stopped: they save their progress."""
        with self._turn:
            if self._over:
                return PREEMPTED
            self.first = self.first or step.name
            process = single.Single(step.name, 0 if self.first == step.name else LOWEST)
            self._working[step.name] = process
        reader = threading.Thread(target=_pass_on, args=(process.lines,), daemon=True)
        reader.start()
        status = process.wait()
        reader.join(GRACE_S)
        with self._turn:
            del self._working[step.name]
            self.first = None if self.first == step.name else self.first
            if status and not self._over and self._working:
                beside = ", ".join(sorted(self._working))
                self.moral = f"{step.name} failed, and {beside} beside it stopped; `make JOBS=1` runs one at a time"
        if status:
            self.stop()
        else:
            say(repro.finished(step.name))
        return CRASHED if status < 0 else status

    def stop(self) -> None:
        """Start nothing more, and end what runs: stages save their progress first."""
        with self._turn:
            self._over = True
            for process in self._working.values():
                process.stop()

    @contextmanager
    def stopping(self) -> Iterator["Run"]:
        """Stop on SIGTERM and on Ctrl-C, and leave no process behind."""

        def end(*_: object) -> None:
            self.stopped = PREEMPTED
            threading.Thread(target=self.stop).start()  # this thread may hold the lock

        before = signal.signal(signal.SIGTERM, end)
        try:
            yield self
        except KeyboardInterrupt:
            self.stopped = INTERRUPTED  # the stages were interrupted with us
        finally:
            self.stop()
            while self._working:
                with suppress(KeyboardInterrupt):
                    time.sleep(0.1)
            signal.signal(signal.SIGTERM, before)


def _pass_on(lines: IO[str]) -> None:
    """Print `lines`, each whole, whatever others print meanwhile."""
    for line in lines:
        say(line.rstrip("\n"))


def _upstream(planned: Mapping[str, Step], name: str) -> set[str]:
    """All that `name` waits for, directly or not."""
    direct = planned[name].upstream
    return set(direct).union(*(_upstream(planned, other) for other in direct))
