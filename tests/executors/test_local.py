"""`make` on real DVC with tiny stages: what runs side by side, what it leaves, and how it ends."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import until
from workspace import IMPORTABLE

from executors import local, needs, order
from executors.tracking.graph import Step
from stages.lib.errors import BadInput

RUN = [sys.executable, "-c", "import sys; from executors import local; sys.exit(local.run(sys.argv[1:]))"]
# A stage says who runs beside it, in two halves of a line, does as HOW_name says, and saves on SIGTERM.
STAGE = """
import os, signal, sys, time
from pathlib import Path

name = sys.argv[1]
how = os.environ.get("HOW_" + name, "")

def save(*_):
    Path(name + ".saved").touch()
    Path(name + ".runs").unlink()
    sys.exit(75)

def until(*files):
    end = time.monotonic() + 60
    while not all(Path(file).exists() for file in files):
        if time.monotonic() > end:
            sys.exit(9)
        time.sleep(0.05)

signal.signal(signal.SIGTERM, save)
Path(name + ".part").write_text(f"{os.getpid()} {os.nice(0)}")
Path(name + ".part").rename(name + ".runs")
with open("seen", "a") as seen:
    seen.write(f"{name} {sorted(path.stem for path in Path().glob('*.runs'))}\\n")
print("first half of", name, end="", flush=True)
if how == "waits":
    until("go")
elif how:
    until(*how.split())
print(", second half of", name, flush=True)
if Path(name + ".bad").exists():
    sys.exit(3)
Path(name).write_text(name)
Path(name + ".runs").rename(name + ".ran")
"""
DVC = """
stages:
  front: {cmd: "PYTHON stage.py front", deps: [stage.py], outs: [front]}
  middle: {cmd: "PYTHON stage.py middle", deps: [front], outs: [middle]}
  beside: {cmd: "PYTHON stage.py beside", deps: [stage.py], outs: [beside]}
  last: {cmd: "PYTHON stage.py last", deps: [middle, beside], outs: [last]}
"""
TABLE = "".join(f"{name}: {{memory: [0.01, 0]}}\n" for name in ("front", "middle", "beside"))
MEETING = {"HOW_front": "beside.runs", "HOW_beside": "front.ran middle.ran"}


class Pipeline:
    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "containers").mkdir(parents=True)
        (path / "containers/stages.yaml").write_text(TABLE)
        (path / "params.yaml").write_text("{}")
        (path / "stage.py").write_text(STAGE)
        (path / "dvc.yaml").write_text(DVC.replace("PYTHON", sys.executable))
        for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
            subprocess.run(command, cwd=path, check=True)

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != "JOBS"}
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(IMPORTABLE),
            "DVC_SITE_CACHE_DIR": f"{self.path}-site",
            **more,
        }

    def run(self, *stages: str, **environment: str) -> subprocess.CompletedProcess[str]:
        with self.start(*stages, **environment) as process:
            said, _ = process.communicate(timeout=200)
        return subprocess.CompletedProcess(RUN, process.returncode, said)

    def start(self, *stages: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*RUN, *stages],
            cwd=self.path,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def seen(self) -> list[str]:
        return (self.path / "seen").read_text().splitlines()

    def wait_for(self, *files: str) -> list[int]:
        """Wait until these are there; the ids of the processes that wrote them."""
        until(lambda: all((self.path / file).exists() for file in files), seconds=100)
        return [int((self.path / file).read_text().split()[0]) for file in files]

    def lock(self) -> bytes:
        return (self.path / "dvc.lock").read_bytes()


def lives(process: int) -> bool:
    """Not as a zombie, which waits for an init that may be slow."""
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path / "here")


@pytest.fixture(params=["/bin/bash", "/bin/sh"])
def running(pipeline: Pipeline, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A run in which `front` and `beside` wait side by side, each started by this shell."""
    process = pipeline.start(HOW_front="waits", HOW_beside="waits", SHELL=request.param)
    try:
        pipeline.wait_for("front.runs", "beside.runs")
        yield process
    finally:
        (pipeline.path / "go").touch()
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)


def test_side_by_side_and_the_lock_is_that_of_dvc_repro(pipeline: Pipeline, tmp_path: Path) -> None:
    ran = pipeline.run(**MEETING)
    assert ran.returncode == 0, ran.stdout
    assert pipeline.seen()[-1] == "last ['last']", "alone: the table doesn't know it"
    niceness = {name: (pipeline.path / f"{name}.ran").read_text().split()[1] for name in ("front", "middle", "beside")}
    assert niceness == {"front": "0", "middle": "0", "beside": "19"}, "of the two more waits for front"
    for name in ("front", "middle", "beside", "last"):
        assert f"first half of {name}, second half of {name}\n" in ran.stdout
    assert ran.stdout.index("Running stage 'middle'") < ran.stdout.index("Stage 'beside' is done")

    other = Pipeline(tmp_path / "other")
    subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=other.path, env=other.environment(), check=True
    )
    assert pipeline.lock() == other.lock()

    ran = pipeline.run()
    assert ran.returncode == 0 and ran.stdout.endswith("Data and pipelines are up to date.\n"), ran.stdout
    assert len(pipeline.seen()) == 4

    (pipeline.path / "last").unlink()
    ran = pipeline.run()
    assert ran.returncode == 0 and "Stage 'last' is cached - skipping run" in ran.stdout
    assert len(pipeline.seen()) == 4 and pipeline.lock() == other.lock()


def test_one_at_a_time_with_jobs(pipeline: Pipeline) -> None:
    ran = pipeline.run(JOBS="1")
    assert ran.returncode == 0, ran.stdout
    assert sorted(pipeline.seen()) == [f"{name} ['{name}']" for name in ("beside", "front", "last", "middle")]


def test_named_stages_and_what_is_upstream(pipeline: Pipeline) -> None:
    ran = pipeline.run("middle")
    assert ran.returncode == 0, ran.stdout
    assert [line.split()[0] for line in pipeline.seen()] == ["front", "middle"]
    ran = pipeline.run("muddle")
    assert ran.returncode != 0 and "muddle" in ran.stdout


def test_a_failure_stops_what_runs_beside_it(pipeline: Pipeline) -> None:
    (pipeline.path / "front.bad").touch()
    ran = pipeline.run(HOW_front="beside.runs", HOW_beside="waits")
    assert ran.returncode == 255, ran.stdout
    assert "failed to reproduce 'front'" in ran.stdout
    assert (pipeline.path / "beside.saved").exists() and len(pipeline.seen()) == 2
    last = ran.stdout.splitlines()[-1]
    assert last == "front failed, and beside beside it stopped; `make JOBS=1` runs one at a time"

    (pipeline.path / "front.bad").unlink()
    ran = pipeline.run()
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_ended_from_outside_stages_save_and_none_is_left(
    pipeline: Pipeline, running: subprocess.Popen[str], how: str
) -> None:
    """SIGINT goes to our process alone here; a terminal sends it to the stages too."""
    stages = pipeline.wait_for("front.runs", "beside.runs")
    running.send_signal(getattr(signal, how))
    status = {"SIGTERM": 75, "SIGINT": 130, "SIGKILL": -signal.SIGKILL}[how]
    assert running.wait(100) == status
    until(lambda: not any(map(lives, stages)), seconds=100)
    assert (pipeline.path / "front.saved").exists() and (pipeline.path / "beside.saved").exists()
    until(lambda: not any(map(lives, group(running.pid))), seconds=100)

    ran = pipeline.run()
    assert ran.returncode == 0, ran.stdout
    assert (pipeline.path / "last").exists()


def group(leader: int) -> list[int]:
    """The processes of its group."""
    found = subprocess.run(["ps", "-eo", "pid=,pgid="], capture_output=True, text=True, check=True).stdout
    return [int(pid) for pid, of in (line.split() for line in found.splitlines()) if int(of) == leader]


def test_a_second_run_is_refused_and_the_first_goes_on(pipeline: Pipeline, running: subprocess.Popen[str]) -> None:
    second = pipeline.run()
    assert second.returncode != 0 and "is busy, it is being blocked by" in second.stdout, second.stdout
    (pipeline.path / "go").touch()
    said, _ = running.communicate(timeout=100)
    assert running.returncode == 0, said
    assert (pipeline.path / "last").exists()


def test_what_a_kill_has_damaged_is_repaired(pipeline: Pipeline) -> None:
    rwlock = pipeline.path / ".dvc/tmp/rwlock"
    rwlock.parent.mkdir(exist_ok=True)
    rwlock.write_text('{"write": {"')
    ran = pipeline.run()
    assert ran.returncode == 0 and "rwlock, which was cut short" in ran.stdout, ran.stdout
    lock = pipeline.path / "dvc.lock"
    whole = lock.read_bytes()
    lock.write_bytes(whole[: len(whole) // 2] + b"\n- [")
    ran = pipeline.run()
    assert ran.returncode == 0 and "dvc.lock was cut short" in ran.stdout, ran.stdout
    assert lock.read_bytes() == whole and len(pipeline.seen()) == 4, "from the run cache"


@pytest.mark.parametrize("word", ["0", "-1", "many"])
def test_jobs_must_be_a_number(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("JOBS", word)
    with pytest.raises(BadInput, match=f"JOBS={word}: say how many stages"):
        local.run([])


def test_what_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.gguf").write_bytes(bytes(1 << 20))
    (tmp_path / "params.yaml").write_text(
        "teach: {teacher: {}}\nteacher: {model: 'path:model.gguf'}\nfar: {model: 'hub:a/b@c'}\n"
        "gone: {model: 'path:gone'}\nnamed: {model: 'weights:qwen2.5-coder-0.5b-instruct'}\n"
    )
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers/stages.yaml").write_text(
        "small: {memory: [1, 0], image: cpu}\nteach: {memory: [1, 1024], models: [teach]}\n"
        "far: {memory: [1, 2], models: [far]}\ngone: {memory: [1, 2], models: [gone]}\n"
        "named: {memory: [0, 1], models: [named]}\n"
        "one: {memory: [0, 0], image: cpu or gpu}\nother: {memory: [0, 0], image: cpu or gpu}\n"
    )
    gib = 2**30
    assert needs.needed("small") == gib and needs.needed("teach@1") == 2 * gib, "by the teacher's model"
    assert needs.needed("named") == 491_400_064, "whether or not it is here"
    assert needs.fit({"small", "teach@1"}, 3 * gib) and not needs.fit({"small", "teach@1"}, 3 * gib - 1)
    for name in ("unknown", "far", "gone"):
        assert not needs.fit({"small", name}, 1e15)
    monkeypatch.setattr(needs, "GPU", tmp_path / "nvidiactl")
    assert needs.fit({"one", "other"}, gib)
    (tmp_path / "nvidiactl").touch()
    assert not needs.fit({"one", "other"}, gib) and needs.fit({"one", "small"}, gib)


def test_the_order_of_a_run() -> None:
    """What is not admitted waits for the next end; after a failure nothing starts."""
    steps = {
        "a": Step("a", frozenset(), True),
        "b": Step("b", frozenset({"a"}), False),
        "c": Step("c", frozenset({"a"}), False),
        "d": Step("d", frozenset({"c"}), False),
    }
    asked, ran = [], []

    def admits(name: str, running: object) -> bool:
        asked.append(name)
        return False

    def one(step: Step) -> int:
        ran.append(step.name)
        return 7 if step.name == "c" else 0

    assert order.through(list(steps), lambda: steps, one, admits) == 7
    assert ran == ["b", "c"] and asked == ["c"]
