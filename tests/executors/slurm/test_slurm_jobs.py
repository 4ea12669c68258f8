"""Jobs on a real Slurm, with a small program in place of k8s/base/pod.py: exit statuses, the queue, kills, refusals."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slurmcluster import MISSING, SlurmCluster, until
from workspace import REPOSITORY

from executors.slurm import controller, follow, jobs, submit
from executors.slurm.controller import Controller
from executors.slurm.jobs import Settings
from executors.walk import Plan
from stages.lib import params
from stages.lib.errors import BadInput

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)} here: `apt-get install slurmctld slurmd munge`"),
    pytest.mark.skipif(os.getuid() != 0, reason="Slurm's daemons start jobs as root"),
]
PLAN = Plan("embed", {"a": 1}, "HEAD", "", {"url": "/nowhere"})
NAME = PLAN.name


class Courier:
    """A remote that holds nothing."""

    def result(self, _key: str) -> None:
        return None


class Bench:
    """Submits jobs that run a program of the test's, and keeps what is said of them."""

    def __init__(self, cluster: SlurmCluster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster, self.folder, self.said = cluster, folder, list[str]()
        self.program = folder / "pod.py"
        self.values = params.read(REPOSITORY / jobs.FILE)["cluster"]
        self.values |= {"folder": str(folder / "shared"), "poll": 0.2, "retries": 1, "grace": 20}
        self.values["resources"] = {"default": {"cpus": 1, "memory": "100M"}}
        monkeypatch.chdir(REPOSITORY)
        monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
        monkeypatch.setattr(jobs, "PROGRAM", self.program)
        monkeypatch.setattr(submit, "say", self.said.append)
        monkeypatch.setattr(submit.container, "named_weights", lambda _stage: [])

    def settings(self, **of_embed: Any) -> Settings:
        wanted = {**self.values["resources"]["default"], **of_embed}
        return Settings.model_validate({**self.values, "resources": {"default": wanted}})

    def run(self, program: str, plan: Plan = PLAN, **of_embed: Any) -> int:
        """The status that the submitter ends with."""
        self.program.write_text(f"import os, signal, sys, time\n{program}\n")
        submitter = submit.Submitter(Controller(patience=5), self.settings(**of_embed), Courier())  # type: ignore[arg-type]
        return submitter.submit(plan)

    def start(self, program: str, plan: Plan = PLAN, **of_embed: Any) -> "Running":
        return Running(lambda: self.run(program, plan, **of_embed))

    def logged(self) -> list[str]:
        return [line.partition(" | ")[2] for line in self.said if " | " in line]

    def heard(self, words: str) -> bool:
        return any(words in line for line in self.said)

    def until(self, words: str) -> None:
        until(lambda: self.heard(words), lambda: "\n".join(self.said))

    def until_queued_again(self, restarts: int = 1) -> None:
        """Wait until the job is back in the queue, and spare it the two minutes that Slurm leaves it there. (Started
        in the second of its end, a node would not know it for another.)"""

        def queued() -> list[str]:
            found = [job for job in self.cluster.jobs() if job["JobName"].startswith("tidemill")]
            return [job["JobId"] for job in found if job["JobState"] == "PENDING" and int(job["Restarts"]) >= restarts]

        until(queued, lambda: "\n".join(self.said))
        for number in queued():
            self.cluster.call("scontrol", "update", f"JobId={number}", "StartTime=now+2")


class Running:
    """A submitter in a thread."""

    def __init__(self, function: Any) -> None:
        self.found: list[int] = []
        self.thread = threading.Thread(target=lambda: self.found.append(function()), daemon=True)
        self.thread.start()

    def status(self) -> int:
        self.thread.join(120)
        assert self.found, "the submitter has not ended"
        return self.found[0]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    with SlurmCluster(tmp_path_factory.mktemp("slurm") / "cluster") as running:
        yield running


@pytest.fixture
def bench(cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    yield Bench(cluster, tmp_path, monkeypatch)
    cluster.call("scancel", "--user=root", check=False)
    until(lambda: not cluster.call("squeue", "--noheader"))


SAVES = """
def stop(*_):
    print("saved", flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
"""
ONCE = 'first = not os.environ.get("SLURM_RESTART_COUNT")\n'


@pytest.mark.parametrize("status", [0, 3])
def test_a_status_is_passed_on_at_once(bench: Bench, status: int) -> None:
    assert bench.run(f"print('phases', *sys.argv[1:]); print('half', end=''); sys.exit({status})") == status
    assert bench.logged() == ["phases fetch run deliver", "half"]
    assert bench.heard(f"{NAME}: runs on n") and bench.heard("ended with status 3") == (status == 3)


def test_a_crash_is_tried_again_so_often_and_no_more(bench: Bench) -> None:
    running = bench.start("print('again', flush=True); sys.exit(9)")
    bench.until_queued_again()
    assert running.status() == 9, bench.said
    assert [line for line in bench.logged() if line == "again"] == ["again"] * 2
    assert bench.heard("it ended with status 9, and 0 of 1 retries are left")


def test_status_75_costs_no_retry(bench: Bench) -> None:
    count = bench.folder / "count"
    bench.values["retries"] = 0
    again = f"open({str(count)!r}, 'a').write('x')\nsys.exit(75 if os.path.getsize({str(count)!r}) < 3 else 0)"
    running = bench.start(again)
    for restarts in (1, 2):
        bench.until_queued_again(restarts)
    assert running.status() == 0 and count.read_text() == "xxx"
    assert bench.heard("waits a moment in the queue, as every job that goes back to it")


def test_before_its_limit_a_stage_saves_and_goes_on(bench: Bench, cluster: SlurmCluster) -> None:
    """Slurm looks at its limits twice a minute, and warns up to a minute early (sbatch(1), --signal)."""
    bench.values["grace"] = 50
    running = bench.start(f"{SAVES}{ONCE}time.sleep(600 if first else 0)", time="00:01:00")
    bench.until("goes back to the queue: its progress is saved")
    bench.until_queued_again()
    assert running.status() == 0
    assert bench.logged()[0] == "saved" and bench.heard("runs on n") and bench.heard("start 2")


def test_a_preempted_job_saves_and_slurm_itself_brings_it_back(bench: Bench, cluster: SlurmCluster) -> None:
    running = bench.start(f"{SAVES}{ONCE}print('up', flush=True)\ntime.sleep(600 if first else 0)", cpus=4, nodes=1)
    bench.until("| up")
    urgent = ("sbatch", "--partition=urgent", "--nodes=2", "--ntasks-per-node=4", "--mem=100M", "--output=/dev/null")
    cluster.call(*urgent, "--wrap=sleep 1")
    bench.until("| saved")
    bench.until_queued_again()
    assert running.status() == 0
    assert not bench.heard("goes back to the queue: ")


def test_what_somebody_cancels_stays_cancelled(bench: Bench, cluster: SlurmCluster) -> None:
    running = bench.start(f"{SAVES}print('up', flush=True)\ntime.sleep(600)")
    bench.until("| up")
    submit.stop(Controller(), bench.settings(), "embed")
    assert running.status() == 1
    assert "saved" in bench.logged() and bench.heard("was cancelled; what it saved is kept")
    assert not cluster.call("squeue", "--noheader", f"--name={NAME}")
    with pytest.raises(BadInput, match="there is no job of embed in the queue; `squeue --me` lists yours"):
        submit.stop(Controller(), bench.settings(), "embed")
    assert bench.run("print('after')") == 0, "and the same command makes it anew"


def test_a_process_killed_on_its_node_is_started_again(bench: Bench) -> None:
    running = bench.start(f"{ONCE}print('pid', os.getpid(), flush=True)\ntime.sleep(600 if first else 0)")
    bench.until("| pid")
    os.kill(int(bench.logged()[0].split()[1]), signal.SIGKILL)
    bench.until_queued_again()
    assert running.status() == 0 and bench.heard("it ended with status 137, and 0 of 1 retries are left")


def test_a_node_that_is_lost_with_all_it_runs_costs_no_retry(bench: Bench, cluster: SlurmCluster) -> None:
    bench.values["retries"] = 0
    program = f"{ONCE}print('pid', os.getpid(), os.getppid(), flush=True)\ntime.sleep(600 if first else 0)"
    running = bench.start(program)
    bench.until("| pid")
    (node,) = [line.split()[-1] for line in bench.said if "runs on" in line]
    cluster.kill(node)
    for number in (*cluster.stepds(), *map(int, bench.logged()[0].split()[1:])):
        os.kill(number, signal.SIGKILL)
    cluster.call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")  # as after SlurmdTimeout
    bench.until_queued_again()
    assert running.status() == 0
    cluster.start(node)
    until(lambda: cluster.sinfo()[node] == "idle", cluster.sinfo)


def test_a_node_whose_daemon_is_away_for_a_while_costs_nothing(bench: Bench, cluster: SlurmCluster) -> None:
    go = bench.folder / "go"
    running = bench.start(f"print('up', flush=True)\nwhile not os.path.exists({str(go)!r}): time.sleep(0.1)")
    bench.until("| up")
    (node,) = [line.split()[-1] for line in bench.said if "runs on" in line]
    cluster.kill(node)
    go.touch()
    cluster.start(node)
    assert running.status() == 0 and bench.logged() == ["up"]


def test_a_controller_that_is_away_for_a_while_costs_nothing(bench: Bench, cluster: SlurmCluster) -> None:
    go = bench.folder / "go"
    bench.program.write_text(f"import os, time\nprint('up')\nwhile not os.path.exists({str(go)!r}): time.sleep(0.1)")
    patient = submit.Submitter(Controller(patience=60), bench.settings(), Courier())  # type: ignore[arg-type]
    running = Running(lambda: patient.submit(PLAN))
    bench.until("runs on n")
    cluster.kill("slurmctld")
    go.touch()
    with pytest.raises(BadInput, match=r"no Slurm: its controller does not answer .*Running jobs go on, and"):
        Controller(patience=0).alive([NAME])
    assert running.status() == 0 and bench.logged() == ["up"], "its status is in the folder"
    cluster.start("slurmctld")
    until(lambda: cluster.sinfo() == {"n1": "idle", "n2": "idle"}, cluster.sinfo)


def test_a_submission_whose_answer_is_lost_makes_one_job(
    bench: Bench, cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a busy controller has taken the job and its answer comes too late."""
    real = bench.folder / "bin"
    real.mkdir()
    lost = real / "sbatch"
    lost.write_text(
        f'#!/bin/sh\n/usr/bin/sbatch "$@" >>{bench.folder}/made\n'
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2\nexit 1\n"
    )
    lost.chmod(0o755)
    monkeypatch.setenv("PATH", f"{real}:{os.environ['PATH']}")
    assert bench.run("time.sleep(3); print('once')") == 0
    assert bench.logged() == ["once"] and len((bench.folder / "made").read_text().splitlines()) == 1


def test_two_who_submit_at_once_share_one_job(bench: Bench) -> None:
    program = "print('up', flush=True); time.sleep(3)"
    both = [bench.start(program) for _ in range(2)]
    assert [one.status() for one in both] == [0, 0]
    numbers = {line.rpartition("job ")[2].partition(";")[0] for line in bench.said if " as job " in line}
    assert len(numbers) == 1 and bench.heard("already in the queue as job") and bench.heard("submitted as job")


def test_a_job_that_slurm_has_forgotten_has_left_its_status(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "LATE", 1.0)
    assert bench.run("print('done')") == 0
    (end,) = (bench.folder / "shared").rglob("*.status")
    part, number = jobs.Part("stage", ("run",)), end.name.split(".")[1]
    monkeypatch.setattr(Controller, "records", lambda *_: [])
    one = follow.Follower(Controller(), end.parent, part, number, 0.1)
    assert one.outcome(print).status == 0
    end.unlink()
    assert "neither it nor Slurm says how" in one.outcome(print).reason


SHARDED = {"shards": 3}
SHARD = "print(*sys.argv[1:], os.environ['JOB_COMPLETION_INDEX'], os.environ.get('SHARDS'), flush=True)\n"


def test_shards_are_an_array_between_two_jobs(bench: Bench) -> None:
    assert bench.run(SHARD, **SHARDED) == 0
    assert bench.logged()[0] == "fetch  None" and bench.logged()[-1] == "run deliver  None"
    assert sorted(bench.logged()[1:-1]) == ["shard 0 3", "shard 1 3", "shard 2 3"]
    assert bench.heard(f"{NAME}-shards[1] | shard 1 3")


def test_a_killed_shard_is_started_again_alone(bench: Bench) -> None:
    mine = f"{ONCE}mine = os.environ['JOB_COMPLETION_INDEX']\nprint('index', mine, os.getpid(), flush=True)\n"
    running = bench.start(f"{mine}time.sleep(600 if first and mine == '1' else 0)", **SHARDED)
    bench.until("| index 1")
    (pid,) = [int(line.split()[-1]) for line in bench.logged() if line.startswith("index 1 ")]
    os.kill(pid, signal.SIGKILL)
    bench.until_queued_again()
    assert running.status() == 0
    starts = [line.split()[1] for line in bench.logged() if line.startswith("index")]
    assert sorted(starts[1:-1]) == ["0", "1", "1", "2"]


def test_bad_input_of_a_shard_is_the_stages_and_what_follows_does_not_start(
    bench: Bench, cluster: SlurmCluster
) -> None:
    assert bench.run(f"{SHARD}sys.exit(3 if os.environ['JOB_COMPLETION_INDEX'] == '2' else 0)", **SHARDED) == 3
    until(lambda: not cluster.call("squeue", "--noheader"))
    assert not any("deliver" in line for line in bench.logged())


def test_the_next_jobs_of_a_stage_start_without_the_submitter(bench: Bench, cluster: SlurmCluster) -> None:
    go = bench.folder / "go"
    program = f"{SHARD}while not os.path.exists({str(go)!r}): time.sleep(0.1)"
    running = bench.start(program, **SHARDED)
    bench.until("| fetch")
    second = Bench.start(bench, program, **SHARDED)
    until(lambda: sum("already in the queue" in line for line in bench.said) == 3)
    go.touch()
    assert running.status() == second.status() == 0
    assert sorted({job["JobName"] for job in cluster.jobs() if job["JobState"] == "PENDING"}) == []


def test_a_submitter_killed_between_two_jobs_of_a_stage_submits_the_rest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, real = bench.folder / "go", submit.Submitter._submit

    def killed(submitter: submit.Submitter, plan: Plan, part: jobs.Part, before: str) -> str:
        if before:
            raise KeyboardInterrupt
        return real(submitter, plan, part, before)

    program = f"{SHARD}while not os.path.exists({str(go)!r}): time.sleep(0.1)"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(submit.Submitter, "_submit", killed)
        bench.run(program, **SHARDED)
    running = bench.start(program, **SHARDED)
    bench.until(f"{NAME}-shards: submitted as job")
    go.touch()
    assert running.status() == 0
    assert [line.split()[0] for line in bench.logged()] == ["fetch", "shard", "shard", "shard", "run"]


def test_two_nodes_meet_by_torchruns_variables(bench: Bench) -> None:
    plan = Plan("train", {"a": 1}, "HEAD", "", {"url": "/nowhere"})
    told = "[os.environ.get(f'PET_{word}') for word in ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'MASTER_PORT')]"
    assert bench.run(f"print(sys.argv[1], os.environ['SLURMD_NODENAME'], *{told}, flush=True)", plan, nodes=2) == 0
    lines = [line.split() for line in bench.logged()]
    assert [line[0] for line in lines] == ["fetch", "run", "run", "deliver"]
    runs = sorted(lines[1:3], key=lambda line: line[3])
    assert [line[1:5] for line in runs] == [["n1", "2", "0", "127.0.0.1"], ["n2", "2", "1", "127.0.0.1"]]
    assert runs[0][5] == runs[1][5] and 10000 <= int(runs[0][5]) < 30000


@pytest.mark.parametrize(("rank", "status", "ended"), [("1", 3, 3), ("0", 3, 3), ("1", 9, None)])
def test_a_node_that_fails_ends_the_others(bench: Bench, rank: str, status: int, ended: int | None) -> None:
    bench.values["retries"] = 0
    plan = Plan("train", {"a": 1}, "HEAD", "", {"url": "/nowhere"})
    fails = f"if os.environ.get('PET_NODE_RANK') == {rank!r}: sys.exit({status})"
    waits = "if sys.argv[1] == 'run': time.sleep(600)"
    found = bench.run(f"{fails}\n{waits}", plan, nodes=2)
    assert found == ended if ended else found not in (0, 3, 75)


def test_two_nodes_save_together_before_the_limit(bench: Bench) -> None:
    plan = Plan("train", {"a": 1}, "HEAD", "", {"url": "/nowhere"})
    slow = SAVES.replace("print", "time.sleep(3 * (os.environ.get('PET_NODE_RANK') == '0')); print")
    program = f"{slow}{ONCE}print('up', flush=True)\ntime.sleep(600 if first and sys.argv[1] == 'run' else 0)"
    running = bench.start(program, plan, nodes=2)
    until(lambda: bench.logged().count("up") == 3)
    (number,) = [job["JobId"] for job in bench.cluster.jobs() if job["JobState"] == "RUNNING"]
    bench.cluster.call("scancel", "--batch", "--signal=USR1", number)  # as Slurm does before the limit
    bench.until_queued_again()
    assert running.status() == 0
    assert bench.logged().count("saved") == 2, "the other node's end does not end the first"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"partition": "absent"}, "Invalid partition name specified; set cluster.partition"),
        ({"memory": "900G"}, "node configuration is not available; no node of the partition has so many cpus"),
        ({"gpus": 1}, "the cluster does not know `gpu`"),
        ({"time": "soon"}, "Invalid --time specification|Invalid time limit"),
        ({"options": ["--no-such-option"]}, "unrecognized option"),
        ({"shards": 5000}, "array; the cluster allows no array of so many shards|the cluster allows no array"),
    ],
)
def test_what_slurm_refuses_is_said_with_what_to_do(bench: Bench, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        bench.run("", **asked)
    assert not bench.cluster.call("squeue", "--noheader", f"--name={NAME}")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"partition": "short", "time": "10"},
            "its time is more than the partition allows (time in slurm/params.yaml)",
        ),
        ({"cpus": 64}, "no node of the partition has so much (resources in slurm/params.yaml)"),
    ],
)
def test_what_can_never_start_says_so(bench: Bench, cluster: SlurmCluster, asked: dict[str, Any], words: str) -> None:
    running = bench.start("", **asked)
    bench.until(f"waits for ever: {words}")
    cluster.call("scancel", f"--name={NAME}")
    assert running.status() == 1


def test_without_slurm_or_without_its_controller(
    bench: Bench, cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = bench.folder / "slurm.conf"
    absent.write_text(cluster.conf.read_text().replace("SlurmctldPort=", "SlurmctldPort=1"))
    monkeypatch.setenv("SLURM_CONF", str(absent))
    monkeypatch.setattr(controller, "PATIENCE", 0.0)
    with pytest.raises(BadInput, match=r"no Slurm: its controller does not answer .*`scontrol ping` asks it"):
        submit.Submitter(Controller(patience=0), bench.settings(), Courier()).submit(PLAN)  # type: ignore[arg-type]


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An image without a file, in which a container has this machine's Python."""
    if not shutil.which("podman"):
        pytest.skip("no podman here: `apt-get install podman`")
    conf = tmp_path / "containers.conf"  # as .ci/images: this machine may itself be a container
    conf.write_text(
        '[engine]\nruntime = "runc"\n[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
    )
    monkeypatch.setenv("CONTAINERS_CONF", str(conf))
    (tmp_path / "empty").mkdir()
    archive = subprocess.run(["tar", "-C", tmp_path / "empty", "-c", "."], capture_output=True, check=True).stdout
    name = f"localhost/tidemill-test-{os.getpid()}"
    subprocess.run(["podman", "import", "--quiet", "-", name], input=archive, capture_output=True, check=True)
    monkeypatch.setattr(jobs.container, "reference", lambda *_: name)
    yield name
    subprocess.run(["podman", "image", "rm", "--force", name], capture_output=True, check=False)


def test_in_podmans_container_a_stage_saves_before_the_limit_and_its_status_is_passed_on(
    bench: Bench, cluster: SlurmCluster, image: str
) -> None:
    bench.values |= {"container": "podman", "retries": 0, "mounts": ["/usr", "/lib", "/lib64", "/bin"]}
    plan = Plan("embed", {"a": 2}, "HEAD", "", {"url": "s3://bucket/x"})
    here = "print('process', os.getpid(), os.environ['TIDEMILL_IMAGE'], flush=True)"
    running = bench.start(f"{SAVES}{ONCE}{here}\ntime.sleep(600 if first else 0); sys.exit(9)", plan)
    bench.until("| process")
    (number,) = [job["JobId"] for job in cluster.jobs() if job["JobState"] == "RUNNING"]
    cluster.call("scancel", "--batch", "--signal=USR1", number)  # as Slurm does before the limit
    bench.until_queued_again()
    assert running.status() == 9
    assert [line for line in bench.logged() if line == f"process 1 {image}"] == [f"process 1 {image}"] * 2
    assert "saved" in bench.logged()


def test_a_python_that_nodes_do_not_have(bench: Bench) -> None:
    bench.values["python"] = "/nowhere/python"
    assert bench.run("") == 3
    assert bench.heard("has no /nowhere/python: set cluster.python or cluster.container in slurm/params.yaml")


def test_modules_that_are_not_there(bench: Bench) -> None:
    bench.values["modules"] = ["absent/1"]
    assert bench.run("") == 3
    assert bench.heard("module load absent/1 failed (cluster.modules in slurm/params.yaml)")


def test_a_folder_that_cannot_be_written_to(bench: Bench) -> None:
    (bench.folder / "file").touch()
    bench.values["folder"] = str(bench.folder / "file")
    with pytest.raises(BadInput, match=r"cluster.folder: cannot write to .*: Not a directory"):
        bench.run("")


def test_a_folder_that_nodes_do_not_see(bench: Bench, cluster: SlurmCluster) -> None:
    running = bench.start("", partition="closed")
    bench.until("waits for its partition, which is down")
    (bench.folder / "shared").rename(bench.folder / "elsewhere")
    cluster.call("scontrol", "update", "PartitionName=closed", "State=UP")
    assert running.status() == 1, bench.said
    assert bench.heard(", or could not write there to the folder of slurm/params.yaml"), bench.said


def test_a_colleagues_job_is_waited_for(bench: Bench, cluster: SlurmCluster) -> None:
    """It has a folder of its own, which we may not read."""
    first = bench.start("print('up', flush=True); time.sleep(4); sys.exit(3)")
    bench.until("| up")
    bench.values["folder"] = str(bench.folder / "mine")
    second = bench.start("sys.exit(9)")
    assert (first.status(), second.status()) == (3, 3)
    assert bench.heard("already in the queue as job") and bench.logged() == ["up"]


def test_the_temporary_folder_goes_with_the_job(bench: Bench) -> None:
    assert bench.run("print(os.environ['TMPDIR'], os.path.isdir(os.environ['TMPDIR']))") == 0
    folder, there = bench.logged()[0].split()
    assert there == "True" and not Path(folder).exists()
