"""Walks the graph and turns each stale stage into a scheduler's job, in parallel where the graph allows.

The `Scheduler` submits and follows jobs. The walk decides what is ready, pushes inputs, and takes results by hash from
DVC's remote, verified, without running anything here. Killed at any moment, the same walk attaches to running jobs.
"""

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from executors import order
from executors.order import say
from executors.progress import display
from executors.tracking import graph, journal, objects, repro, transfer
from executors.tracking.courier import Courier
from stages.lib import artifacts
from stages.lib.artifacts import digest
from stages.lib.errors import BAD_INPUT, CRASHED, INTERRUPTED, BadInput

_dvc_turn = threading.Lock()


@dataclass(frozen=True)
class Plan:
    """One stage to run: `inputs` is all that its result depends on, `lock` the sha256 of dvc.lock on the remote."""

    stage: str
    inputs: dict[str, Any]
    commit: str
    lock: str
    remote: dict[str, str]

    @property
    def key(self) -> str:
        """The same for everyone who runs the same stage on the same inputs."""
        return digest({"stage": self.stage, "inputs": self.inputs})[:16]

    @property
    def name(self) -> str:
        """The name of its jobs and of their resources."""
        return f"{prefix(self.stage)}{self.key}"


class Scheduler(Protocol):
    """Runs jobs. Its methods raise `BadInput` for what a person has to fix."""

    stopping: str  # the command that stops a stage's jobs

    def inputs(self, stage: str) -> dict[str, Any]:
        """What the result of `stage` depends on besides its inputs in the graph: its image."""

    def asks_models(self, stage: str) -> bool:
        """Whether the answers that `stage` pays for are kept in the journal."""

    def submit(self, plan: Plan) -> int:
        """Submit the jobs of `plan`, or attach to them, and follow them; returns the stage's exit status."""

    def tidy(self, plan: Plan) -> None:
        """Remove what a delivered stage no longer needs."""

    def stop(self, stage: str) -> None:
        """Delete the jobs of `stage`."""


def word(stage: str) -> str:
    """A stage's name for names and labels, which have at most 63 characters including an ending and an index
    (pkg/apis/batch/validation: the host names of an Indexed Job's pods)."""
    return re.sub("[^a-z0-9]+", "-", stage.lower())[:24].strip("-")


def prefix(stage: str) -> str:
    """How the names of a stage's jobs begin, before its key."""
    return f"tidemill-{word(stage)}-"


def stale(names: Sequence[str]) -> tuple[list[str], set[str]] | None:
    """The named stages (or all) with everything upstream, upstream first, and those of them whose result is lost; None,
    with a message, if there is nothing to do."""
    chosen = _with_upstream(graph.load(), names)
    fresh = all(stage.fresh for stage in chosen.values())
    if fresh and all(Path(path).exists() for stage in chosen.values() for path in stage.writes):
        say("nothing is stale")
        return None
    lost = _lost(chosen)
    if fresh and not lost:
        say("nothing is stale; `make pull` downloads what is not here")
        return None
    return list(chosen), lost


def select(stages: dict[str, graph.Stage], names: Sequence[str]) -> dict[str, graph.Stage]:
    """The `stages` in `names`, or all. Raises `BadInput` for an unknown name."""
    if unknown := sorted(set(names) - stages.keys()):
        raise BadInput(f"dvc.yaml has no stage {unknown[0]}; choose from {', '.join(stages)}")
    return {name: stage for name, stage in stages.items() if not names or name in names}


class Walk:
    """One run over the graph: a stage is submitted as soon as everything upstream is done."""

    def __init__(
        self, scheduler: Scheduler, courier: Courier, commit: str, remote: dict[str, str], lost: set[str]
    ) -> None:
        self.scheduler, self.courier = scheduler, courier
        self.commit, self.remote, self.lost = commit, remote, lost
        self.running: dict[str, Plan] = {}
        self.took: dict[str, float] = {}  # seconds of each delivered stage, its waiting included

    def run(self, names: list[str]) -> int:
        """`through`; then say where the time went, or on Ctrl-C ask what to do with what runs."""
        began = time.monotonic()
        try:
            status = self.through(names)
        except KeyboardInterrupt:
            return self.interrupted()
        if not status:
            display.tell_times(self.took, time.monotonic() - began)
        return status

    def through(self, names: list[str]) -> int:
        """Submit `names` (upstream first) as they become ready; returns 0 or the status of the first failure."""
        return order.through(names, self.look, self.one)

    def look(self) -> dict[str, graph.Stage]:
        """The graph as it is now. A lost result has to be made again, whatever dvc.lock says."""
        with _dvc_turn:  # dvc.lock is written in place; reading half of it would give a wrong key
            stages = graph.load()
        return {name: replace(stage, fresh=stage.fresh and name not in self.lost) for name, stage in stages.items()}

    def one(self, stage: graph.Stage) -> int:
        """One stage: from the run cache if a pod delivered it, otherwise by its Jobs; then fetched and verified."""
        began = time.monotonic()
        if status := self._one(stage):
            return status
        self.took[stage.name] = time.monotonic() - began
        return 0

    def _one(self, stage: graph.Stage) -> int:
        with _dvc_turn:
            if stage.reads and transfer.main(["push", "--quiet", *stage.reads]):
                raise BadInput(f"{stage.name}: cannot push its inputs; `make verify REMOTE=1` shows what is wrong")
            self._share_journal(stage.name, "publish")  # so that no pod pays twice
            lock = self.courier.send_lock()
        plan = Plan(stage.name, {**stage.inputs, **self.scheduler.inputs(stage.name)}, self.commit, lock, self.remote)
        if self.courier.result(plan.key) is None:
            self.running[stage.name] = plan
            status = self.scheduler.submit(plan)
            if status:
                return status
            self.running.pop(stage.name)
        self.scheduler.tidy(plan)  # also what a killed submitter left
        return self.take(stage, plan)

    def take(self, stage: graph.Stage, plan: Plan) -> int:
        """Take a delivered result from DVC's run cache, without running anything, and verify it."""
        record = self.courier.result(plan.key)
        if record is None:
            say(f"{stage.name}: its Job succeeded but left no record on the remote; run it again")
            return CRASHED
        with _dvc_turn:
            # DVC must notice a lost output; any other stage's inputs need not be here.
            missing = () if stage.name in self.lost else ("--allow-missing",)
            failed = repro.run([stage.name], "--quiet", "--pull", *missing, "--single-item")
            self._share_journal(stage.name, "bring")
        if failed:
            say(f"{stage.name}: delivered, but cannot be fetched: {self._damage(record)}")
            return BAD_INPUT
        for path, root in record["roots"].items():
            found = artifacts.open(path).root
            if found != root:
                raise BadInput(f"{path} arrived as {found}, but its job sealed {root}; run `dvc pull --force {path}`")
        say(f"{stage.name}: fetched and verified")
        return 0

    def _damage(self, record: dict[str, Any]) -> str:
        problems = [problem for _, problem in objects.check_remote(record["outs"]) if problem]
        path = self.courier.path("results", f"{record['key']}.json")
        return "\n  ".join([*problems, f"or remove {path} on the remote to have it made again"])

    def _share_journal(self, stage: str, how: str) -> None:
        """Exchange answers with the remote if the stage asks models."""
        if self.scheduler.asks_models(stage):
            getattr(journal, how)()

    def interrupted(self) -> int:
        """Ctrl-C: ask whether to leave or delete running Jobs; without a terminal, leave them."""
        names = sorted(self.running)
        if names and sys.stdin.isatty():
            answer = input(f"\n{', '.join(names)}: leave running (Enter) or delete (d)? ")
            if answer.strip().lower().startswith("d"):
                names = [name for name in names if not self._stopped(name)]
        if names:
            stopping = self.scheduler.stopping
            say(f"left running: {', '.join(names)}; the same command attaches again, `{stopping}` stops it")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            _dvc_turn.acquire(timeout=10)  # DVC writes dvc.lock in place
        os._exit(INTERRUPTED)  # threads are still following the Jobs

    def _stopped(self, stage: str) -> bool:
        try:
            self.scheduler.stop(stage)
            return True
        except BadInput as error:
            say(f"{stage}: {error}")
            return False


def _with_upstream(stages: dict[str, graph.Stage], names: Sequence[str]) -> dict[str, graph.Stage]:
    wanted = set(select(stages, names))
    for name in reversed(list(stages)):
        if name in wanted:
            wanted |= stages[name].upstream
    return {name: stage for name, stage in stages.items() if name in wanted}


def _lost(stages: dict[str, graph.Stage]) -> set[str]:
    """Stages whose result only dvc.lock knows, as in a fresh clone or with another remote. They run again, as under
    `dvc repro`."""
    made = {path: name for name, stage in stages.items() if stage.fresh for path in stage.writes}
    return {made[path] for path in transfer.nowhere(made)} if made else set()
