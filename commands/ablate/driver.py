"""Runs a matrix: one DVC experiment after another, each at most once, each stage at most once for equal inputs.

`dvc exp run` is `dvc repro` plus `dvc exp save`, with a stash and a detached head in between that a kill leaves behind.
Calling the two separately, in a clone, means that a kill leaves only a workspace from which `make ablate` resumes.
"""

import fcntl
import json
import logging
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from commands.ablate import matrix as matrices
from commands.ablate import money
from commands.ablate.matrix import Matrix
from executors import profiles
from executors.tracking import clone as clones
from executors.tracking.clone import Clone
from stages.lib import artifacts
from stages.lib.errors import BadInput

ROOT = Path(".tidemill/ablate")
# What `dvc repro` prints about a stage, and what that means.
SAYS = (
    (re.compile(r"Running stage '([^']+)'"), "ran"),
    (re.compile(r"Stage '([^']+)' is cached"), "cached"),
    (re.compile(r"Stage '([^']+)' didn't change"), "unchanged"),
)
PATIENCE = 120.0  # seconds a stopped run's stages get to save their progress
TAIL = 30  # lines shown of a failed run

log = logging.getLogger("tidemill.ablate")


class Interrupted(KeyboardInterrupt):
    """SIGTERM or SIGINT; the running stage has saved its progress."""


def run(matrix: Matrix) -> Clone:
    """Run what is missing of `matrix`. Raises `BadInput` if a run fails or the budget does not suffice."""
    if (executor := os.environ.get("EXECUTOR") or "local") != "local":
        raise BadInput(f"EXECUTOR={executor}: comparisons run locally, in a clone that no image sees; unset EXECUTOR")
    folder = ROOT / matrix.name
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(matrix.name, folder):
        _stop_orphans(folder)
        clone = clones.prepare(folder / "workspace")
        for number, name in enumerate(matrix.runs, 1):
            label = f"{matrix.name}: {name} ({number} of {len(matrix.runs)})"
            if _is_done(matrix, name, clone):
                clone.publish(matrix.experiment(name))
                print(f"{label}: done before", flush=True)
                continue
            spent = money.check(
                matrix.name, matrix.budget_usd, matrices.values(matrix.texts[name]), folder / "budget.json"
            )
            print(f"{label}: {spent:.4f} US dollars spent", flush=True)
            _run_one(matrix, name, clone, folder)
        return clone


def existing(matrix: Matrix) -> Clone:
    """The clone with the finished experiments. Raises `BadInput` if there is none."""
    path = (ROOT / matrix.name / "workspace").resolve()
    if not (path / ".git").is_dir():
        raise BadInput(f"{matrix.name} has not run here; run `make ablate NAME={matrix.name}`")
    return Clone(path, clones.check_committed())


def events(folder: Path) -> list[dict[str, str]]:
    """What each stage did in each attempt: run, stage, and whether it ran or was reused."""
    file = folder / "stages.jsonl"
    lines = file.read_text().splitlines() if file.is_file() else []
    return [json.loads(line) for line in lines]


def count(folder: Path) -> Counter[str]:
    """Stages counted by whether they ran or were reused."""
    return Counter(event["how"] for event in events(folder))


def _is_done(matrix: Matrix, run: str, clone: Clone) -> bool:
    """Whether the experiment exists with the params that the matrix gives it today."""
    commit = clone.find(matrix.experiment(run))
    return commit is not None and clone.show(commit, "params.yaml") == matrix.texts[run]


def _run_one(matrix: Matrix, run: str, clone: Clone, folder: Path) -> None:
    text = matrix.texts[run]
    artifacts.write_text(clone.path / "params.yaml", text)
    artifacts.write_text(clone.path / "profile.yaml", profiles.text([], matrices.values(text)))
    _repro(matrix, run, clone, folder)
    stages = _finished(clone)
    name = matrix.experiment(run)
    words = ["exp", "save", "--quiet", "--force", "--name", name, "--message", f"{matrix.title}: {run}", *stages]
    saved = subprocess.run([clones.dvc(), *words], cwd=clone.path, capture_output=True, text=True, check=False)
    if saved.returncode:
        raise BadInput(f"{name} could not be saved as an experiment: {saved.stderr.strip()}")
    clone.publish(name)


def _repro(matrix: Matrix, run: str, clone: Clone, folder: Path) -> None:
    """`dvc repro` the run's targets; prints a line per stage and logs everything to logs/RUN.log."""
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    with (
        (logs / f"{run}.log").open("a", encoding="utf-8") as written,
        _started([clones.dvc(), "repro", *matrix.targets], clone.path, folder) as process,
    ):
        assert process.stdout
        tail = _follow(process.stdout, run, folder, written, process)
    if process.returncode:
        shown = "\n".join(tail)
        raise BadInput(f"run {run} failed; finished stages are kept, and `make ablate` resumes from there:\n{shown}")


def _follow(printed: IO[str], run: str, folder: Path, written: IO[str], process: "subprocess.Popen[str]") -> list[str]:
    """Copy `dvc repro`'s output to the log, record each finished stage, and return the last lines."""
    tail: list[str] = []
    running, began = "", 0.0
    for line in printed:
        written.write(line)
        written.flush()
        tail = [*tail[1 - TAIL :], line.rstrip()]
        for pattern, how in SAYS:
            if found := pattern.search(line):
                if running:
                    _note(folder, run, running, "ran", time.monotonic() - began)
                running, began = (found[1], time.monotonic()) if how == "ran" else ("", 0.0)
                if how != "ran":
                    _note(folder, run, found[1], how)
    if process.wait() == 0 and running:
        _note(folder, run, running, "ran", time.monotonic() - began)
    return tail


def _note(folder: Path, run: str, stage: str, how: str, seconds: float = 0.0) -> None:
    with (folder / "stages.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"run": run, "stage": stage, "how": how}) + "\n")
    took = f" in {seconds:.0f} s" if how == "ran" else ""
    print(f"  {run:<24}{stage:<16}{how}{took}", flush=True)


def _finished(clone: Clone) -> list[str]:
    """The stages with results in the clone's dvc.lock."""
    from ruamel.yaml import YAML

    text = (clone.path / clones.LOCK_FILE).read_text(encoding="utf-8")
    locked: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return list(locked["stages"])


@contextmanager
def _started(words: list[str], where: Path, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process in its own group, stopped with its children when this process is."""
    process = subprocess.Popen(
        words, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    artifacts.write_json(folder / "group.json", {"group": process.pid})
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield process
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if process.poll() is None:
            _stop_orphans(folder)
            process.wait()
        (folder / "group.json").unlink(missing_ok=True)


def _interrupt(number: int, frame: Any) -> None:
    raise Interrupted


@contextmanager
def _alone(name: str, folder: Path) -> Iterator[None]:
    """Lock the matrix. Raises `BadInput` if another process has it."""
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise BadInput(f"process {lock.read().strip() or '?'} is running matrix {name}; wait for it") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _stop_orphans(folder: Path) -> None:
    """Stop what a killed driver left running: SIGTERM first, so that stages save their progress, then SIGKILL."""
    file = folder / "group.json"
    if not file.is_file():
        return
    group, where = int(artifacts.read_json(file)["group"]), (folder / "workspace").resolve()
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + PATIENCE
        for process in _members(group, where):
            log.info("stopping process %d of an earlier run", process)
            _send(process, number)
        while _members(group, where) and time.monotonic() < deadline:
            time.sleep(0.1)
    # DVC mistakes a dead lock holder that is not reaped yet for a living one.
    (where / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    file.unlink(missing_ok=True)


def _members(group: int, where: Path) -> list[int]:
    """The group's live processes that work in the clone; the check guards against a reused group number."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state = (entry / "stat").read_text().rpartition(")")[2].split()
            inside = (entry / "cwd").readlink().is_relative_to(where)
        except (OSError, IndexError):
            continue
        if int(state[2]) == group and state[0] != "Z" and inside:
            found.append(int(entry.name))
    return found


def _send(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return
