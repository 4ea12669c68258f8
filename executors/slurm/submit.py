"""Submits a stage's jobs, attaches to those that are there, and follows them to their end."""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from executors import container
from executors.order import say
from executors.slurm import jobs
from executors.slurm.controller import Away, Controller
from executors.slurm.follow import Follower
from executors.slurm.jobs import Part, Settings
from executors.tracking import git, graph
from executors.tracking.courier import Courier
from executors.walk import Plan, Walk, prefix, stale
from stages.lib.errors import BadInput
from stages.lib.models import weights

KEY = 16  # characters of a plan's key


def run(names: Sequence[str], settings: Settings) -> int:
    """Submit the stale ones of the named stages (or all) and of those upstream, and fetch their results."""
    os.environ["EXECUTOR"] = "slurm"  # makes `stages/run` refuse what DVC would run here
    found = stale(names)
    if found is None:
        return 0
    chosen, lost = found
    remote = graph.remote(settings.remote, settings.endpoint, shares_folders=True)
    for name in chosen:  # find bad configuration before sending anything
        jobs.image(name, settings)
        jobs.parts(name, settings.of(name))
    controller = Controller()
    commit = git.committed("jobs could not fetch them")
    courier = Courier()
    if not settings.repository:
        courier.send_bundle(commit)
    return Walk(Submitter(controller, settings, courier), courier, commit, remote, lost).run(chosen)


class Submitter:
    """`walk.Scheduler` on a Slurm cluster."""

    stopping = "make slurm-stop STAGE=…"

    def __init__(self, controller: Controller, settings: Settings, courier: Courier) -> None:
        self.controller, self.settings, self.courier = controller, settings, courier

    def inputs(self, stage: str) -> dict[str, Any]:
        """The image of `stage`, or the modules of its environment."""
        if reference := jobs.image(stage, self.settings):
            return {"image": reference.removeprefix("docker://")}
        return {"modules": self.settings.modules}

    def asks_models(self, stage: str) -> bool:
        """Whether `stage` keeps a journal, by containers/stages.yaml."""
        return container.asks_models(stage)

    def submit(self, plan: Plan) -> int:
        """Submit the jobs of `plan`, or attach to them, and follow them; returns the first nonzero status.

        What Slurm has ended without a fault of the stage's (preemption, a lost node) is submitted again.
        """
        while True:
            for part, number in self._ensure(plan):
                outcome = self._follower(plan, part, number).outcome(say)
                if outcome.status:
                    break
            else:
                return 0
            say(f"{plan.stage}: {outcome.reason}")
            if not outcome.again:
                return outcome.status

    def tidy(self, plan: Plan) -> None:
        """Remove a delivered stage's workspace; its scripts and logs stay."""
        shutil.rmtree(self.settings.place(plan) / "workspace", ignore_errors=True)

    def stop(self, stage: str) -> None:
        """Cancel the jobs of `stage`."""
        stop(self.controller, self.settings, stage)

    def _ensure(self, plan: Plan) -> list[tuple[Part, str]]:
        """The parts of `plan` that have not ended, with their jobs' numbers: those that are there, and those submitted
        now, each to start when the one before has succeeded. So they go on without us."""
        parts = jobs.parts(plan.stage, self.settings.of(plan.stage))
        names = [part.name(plan) for part in parts]
        with _alone(self.settings.place(plan)):
            there = self.controller.alive(names)
            for part in parts:
                name = part.name(plan)
                if name in there and self._follower(plan, part, there[name]).is_over():
                    del there[name]  # Slurm is clearing up behind it
            for name, number in there.items():
                say(f"{name}: already in the queue as job {number}; attached to it")
            first, before = 0, ""
            if there:
                first = max(names.index(name) for name in there) + 1
                before = there[names[first - 1]]
            elif self.courier.result(plan.key):  # somebody else's job has delivered it by now
                return []
            else:
                self._prepare(plan)
            for part in parts[first:]:
                before = there[part.name(plan)] = self._submit(plan, part, before)
        return [(part, there[part.name(plan)]) for part in parts if part.name(plan) in there]

    def _follower(self, plan: Plan, part: Part, number: str) -> Follower:
        return Follower(self.controller, self.settings.place(plan), part, number, self.settings.poll)

    def _prepare(self, plan: Plan) -> None:
        for name in sorted(container.named_weights(plan.stage)):
            weights.fetch(name)  # here, because nodes often have no way to the internet
        shutil.copy(jobs.PROGRAM, self.settings.place(plan))

    def _submit(self, plan: Plan, part: Part, before: str) -> str:
        """Submit one part. If the answer is lost, the job may be there all the same."""
        script, name = jobs.render(plan, part, self.settings), part.name(plan)
        (self.settings.place(plan) / f"{part.word}.sh").write_text(script)
        give_up = time.monotonic() + self.controller.patience
        while True:
            try:
                number = self.controller.submit(script, before)
                say(f"{name}: submitted as job {number}")
                return number
            except Away as error:
                if time.monotonic() > give_up:
                    raise self.controller.no_answer(str(error)) from None
                time.sleep(1)
                if number := self.controller.alive([name]).get(name, ""):
                    return number


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Hold the stage's lock, so that of two who submit at once one attaches. It goes with the process."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = (place / "lock").open("a")
    except OSError as error:
        raise BadInput(f"{jobs.FILE}: cluster.folder: cannot write to {place}: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def stop(controller: Controller, settings: Settings, stage: str) -> None:
    """Cancel the jobs of `stage` that this workspace's folder knows. Raises `BadInput` if there is none."""
    folder = Path(settings.folder).expanduser().absolute()
    known = [place.name for place in folder.glob(f"{prefix(stage)}*") if len(place.name) == len(prefix(stage)) + KEY]
    names = [name for one in known for name in (one, f"{one}-fetch", f"{one}-shards")]
    stopped = controller.cancel(names) if names else []
    if not stopped:
        raise BadInput(f"there is no job of {stage} in the queue; `squeue --me` lists yours")
    for name in stopped:
        say(f"{name}: cancelled")
