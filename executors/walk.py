"""A walk over the graph in which each stale stage becomes a job of some scheduler, side by side where the graph allows.

The scheduler (`Scheduler`) submits and follows; the walk decides what is ready, pushes inputs, and takes results: by
hash from DVC's remote, verified, without running anything here. Killed at any moment, the same walk attaches to what
runs.
"""

import concurrent.futures
import contextlib
import os
import re
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from executors.tracking import graph, journal, objects, repro, transfer
from executors.tracking.courier import Courier
from stages.lib import artifacts
from stages.lib.artifacts import digest
from stages.lib.errors import BAD_INPUT, CRASHED, INTERRUPTED, BadInput

_printing, _dvc_turn = threading.Lock(), threading.Lock()


@dataclass(frozen=True)
class Plan:
    """One stage to be run: `inputs` is all that its result depends on; `lock` the sha256 of dvc.lock on the remote."""

    stage: str
    inputs: dict[str, Any]
    commit: str
    lock: str
    remote: dict[str, str]

    @property
    def key(self) -> str:
        """The same for everybody who would run the same stage on the same inputs."""
        return digest({"stage": self.stage, "inputs": self.inputs})[:16]

    @property
    def name(self) -> str:
        """The name of its jobs and of what they need."""
        return f"tidemill-{word(self.stage)}-{self.key}"


class Scheduler(Protocol):
    """What runs jobs. Its methods raise `BadInput` for what a person has to put right."""

    def inputs(self, stage: str) -> dict[str, Any]:
        """What the result of `stage` depends on beside its inputs in the graph: its image."""

    def asks_models(self, stage: str) -> bool:
        """Whether the answers that `stage` pays for are kept in the journal."""

    def submit(self, plan: Plan) -> int:
        """Submit the jobs of `plan`, or attach to them, and follow them to their end; the stage's exit status."""

    def tidy(self, plan: Plan) -> None:
        """Remove what a delivered stage needs no more."""

    def stop(self, stage: str) -> None:
        """Delete the jobs of `stage`."""


def word(stage: str) -> str:
    """A stage's name as a part of names and labels, which have 63 characters, an ending and an index included
    (pkg/apis/batch/validation: the host names of an Indexed Job's pods)."""
    return re.sub("[^a-z0-9]+", "-", stage.lower())[:24].strip("-")


def say(line: str) -> None:
    """Print a line, whole, whichever thread has it."""
    with _printing:
        print(line, flush=True)


def stale(names: Sequence[str]) -> tuple[list[str], set[str]] | None:
    """The named stages (or all) and those upstream, upstream first, and those among them whose result is lost; None,
    which is said, if there is nothing to do."""
    chosen = _with_upstream(graph.load(), names)
    fresh = all(stage.fresh for stage in chosen.values())
    if fresh and all(Path(path).exists() for stage in chosen.values() for path in stage.writes):
        say("nothing is stale")
        return None
    lost = _lost(chosen)
    if fresh and not lost:
        say("nothing is stale; `make pull` brings what is not here")
        return None
    return list(chosen), lost


def select(stages: dict[str, graph.Stage], names: Sequence[str]) -> dict[str, graph.Stage]:
    """Those of `stages` that `names` name, or all. Raises `BadInput` for a name that none has."""
    if unknown := sorted(set(names) - stages.keys()):
        raise BadInput(f"dvc.yaml has no stage {unknown[0]}; it has {', '.join(stages)}")
    return {name: stage for name, stage in stages.items() if not names or name in names}


class Walk:
    """One run over the graph: a stage is submitted as soon as all that it reads from is done."""

    def __init__(
        self, scheduler: Scheduler, courier: Courier, commit: str, remote: dict[str, str], lost: set[str]
    ) -> None:
        self.scheduler, self.courier = scheduler, courier
        self.commit, self.remote, self.lost = commit, remote, lost
        self.running: dict[str, Plan] = {}

    def through(self, names: list[str]) -> int:
        """Submit `names` (upstream first) as they become ready; 0, or the status of the first that failed."""
        status = 0
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(len(names), 1))
        started: dict[concurrent.futures.Future[int], str] = {}
        done: set[str] = set()
        while True:
            with _dvc_turn:  # dvc.lock is written in place: half of it would make another stage's key
                stages = graph.load()
            fresh = {name for name in names if stages[name].fresh} - self.lost
            done |= fresh - set(started.values())
            ready = [name for name in names if name not in done and name not in started.values()]
            for name in ready if not status else []:
                if stages[name].upstream <= done:
                    started[pool.submit(self.one, stages[name])] = name
            waiting = {future for future, name in started.items() if name not in done and not future.done()}
            if not waiting and not any(not future.done() for future in started):
                unseen = [future for future, name in started.items() if name not in done]
                if not unseen or status:
                    return status
            finished, _ = concurrent.futures.wait(
                [future for future, name in started.items() if name not in done],
                return_when=concurrent.futures.FIRST_COMPLETED,
            )
            for future in finished:
                name = started.pop(future)
                result = future.result()
                if result:
                    status = status or result
                    names = [other for other in names if other != name]
                else:
                    done.add(name)

    def one(self, stage: graph.Stage) -> int:
        """One stage: from the run cache if a pod has delivered it, else by its Jobs; then here, verified."""
        with _dvc_turn:
            if stage.reads and transfer.main(["push", "--quiet", *stage.reads]):
                raise BadInput(f"{stage.name}: its inputs cannot be pushed; `make verify REMOTE=1` says what is wrong")
            self._share_journal(stage.name, "publish")  # so that no pod pays for what is answered
            lock = self.courier.send_lock()
        plan = Plan(stage.name, {**stage.inputs, **self.scheduler.inputs(stage.name)}, self.commit, lock, self.remote)
        if self.courier.result(plan.key) is None:
            self.running[stage.name] = plan
            status = self.scheduler.submit(plan)
            if status:
                return status
            self.running.pop(stage.name)
        self.scheduler.tidy(plan)  # also after a submitter that did not live to do it
        return self.take(stage, plan)

    def take(self, stage: graph.Stage, plan: Plan) -> int:
        """Take a delivered result from DVC's run cache, without running anything, and verify it."""
        record = self.courier.result(plan.key)
        if record is None:
            say(f"{stage.name}: its Job succeeded and left no record on the remote; run it again")
            return CRASHED
        with _dvc_turn:
            # What is lost DVC has to miss; of any other stage the inputs need not be here.
            missing = () if stage.name in self.lost else ("--allow-missing",)
            failed = repro.run([stage.name], "--quiet", "--pull", *missing, "--single-item")
            self._share_journal(stage.name, "bring")
        if failed:
            say(f"{stage.name}: delivered, and cannot be taken: {self._damage(record)}")
            return BAD_INPUT
        for path, root in record["roots"].items():
            found = artifacts.open(path).root
            if found != root:
                raise BadInput(f"{path} arrived as {found}, its pod sealed {root}; `dvc pull --force {path}`")
        say(f"{stage.name}: here and verified")
        return 0

    def _damage(self, record: dict[str, Any]) -> str:
        problems = [problem for _, problem in objects.check_remote(record["outs"]) if problem]
        path = self.courier.path("results", f"{record['key']}.json")
        return "\n  ".join([*problems, f"or remove {path} on the remote to have it made again"])

    def _share_journal(self, stage: str, how: str) -> None:
        """Exchange answers with the remote, for a stage that asks models."""
        if self.scheduler.asks_models(stage):
            getattr(journal, how)()

    def interrupted(self) -> int:
        """Ctrl-C: leave what runs, or delete it; without a terminal to ask on it is left."""
        names = sorted(self.running)
        if names and sys.stdin.isatty():
            answer = input(f"\n{', '.join(names)}: leave running (Enter) or delete (d)? ")
            if answer.strip().lower().startswith("d"):
                names = [name for name in names if not self._stopped(name)]
        if names:
            say(f"left running: {', '.join(names)}; the same command attaches to it, `make k8s-stop STAGE=…` ends it")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            _dvc_turn.acquire(timeout=10)  # DVC writes dvc.lock in place
        os._exit(INTERRUPTED)  # threads still follow the Jobs

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
    """Stages whose result dvc.lock has and nobody else: in a clone, or with another remote. They are made again, as
    `dvc repro` would."""
    made = {path: name for name, stage in stages.items() if stage.fresh for path in stage.writes}
    return {made[path] for path in transfer.nowhere(made)} if made else set()
