"""Jobs on a real Slurm: exit statuses, shards, nodes, images, and what is refused."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import write_vectors
from slurmbench import NAME, ONCE, PLAN, SAVES, SHARD, SHARDED, TRAIN, Bench, Courier
from slurmcluster import SlurmCluster
from waiting import until
from workspace import REPOSITORY, Workspace

from executors.slurm import controller, jobs, submit
from executors.slurm.controller import Controller
from executors.walk import Plan
from stages.lib import artifacts
from stages.lib.errors import BadInput

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("status", [0, 3])
def test_a_status_is_passed_on_at_once(bench: Bench, status: int) -> None:
    said = "print('phases', *sys.argv[1:]); print('half', end='', flush=True)"
    running = bench.start(f"{said}; {bench.waits()}; sys.exit({status})")
    bench.until(f"{NAME}: runs on n")
    bench.go.touch()
    assert running.status() == status
    assert bench.logged() == ["phases fetch run deliver", "half"]
    assert bench.heard("ended with status 3") == (status == 3)


def test_shards_are_an_array_between_two_jobs(bench: Bench) -> None:
    assert bench.run(SHARD, **SHARDED) == 0
    assert bench.logged()[0] == "fetch  None" and bench.logged()[-1] == "run deliver  None"
    assert sorted(bench.logged()[1:-1]) == ["shard 0 3", "shard 1 3", "shard 2 3"]
    assert bench.heard(f"{NAME}-shards[1] | shard 1 3")


def test_bad_input_of_a_shard_is_the_stages_and_what_follows_does_not_start(
    bench: Bench, cluster: SlurmCluster
) -> None:
    assert bench.run(f"{SHARD}sys.exit(3 if os.environ['JOB_COMPLETION_INDEX'] == '2' else 0)", **SHARDED) == 3
    until(lambda: not cluster.call("squeue", "--noheader"))
    assert not any("deliver" in line for line in bench.logged())


def test_two_nodes_meet_by_torchruns_variables(bench: Bench) -> None:
    told = "[os.environ.get(f'PET_{word}') for word in ('NNODES', 'NODE_RANK', 'MASTER_ADDR', 'MASTER_PORT')]"
    assert bench.run(f"print(sys.argv[1], os.environ['SLURMD_NODENAME'], *{told}, flush=True)", TRAIN, nodes=2) == 0
    lines = [line.split() for line in bench.logged()]
    assert [line[0] for line in lines] == ["fetch", "run", "run", "deliver"]
    runs = sorted(lines[1:3], key=lambda line: line[3])
    assert [line[1:5] for line in runs] == [["n1", "2", "0", "127.0.0.1"], ["n2", "2", "1", "127.0.0.1"]]
    assert runs[0][5] == runs[1][5] and 10000 <= int(runs[0][5]) < 30000


def test_coreset_on_two_nodes_seals_the_bytes_of_one_process(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stage").mkdir()
    workspace = Workspace(tmp_path / "stage")
    monkeypatch.chdir(workspace.path)
    write_vectors(np.random.default_rng(3).standard_normal((700, 16)).astype(np.float16))
    assert workspace.run("coreset").returncode == 0
    root = artifacts.open("data/coreset").root
    shutil.rmtree("data/coreset")
    monkeypatch.chdir(REPOSITORY)
    stage = workspace.command("coreset")
    program = f"os.chdir({str(workspace.path)!r}); os.environ['PYTHONPATH'] = {str(REPOSITORY)!r}"
    program = f"if sys.argv[1] == 'run': {program}; os.execv({stage[0]!r}, {stage!r})"
    plan = Plan("coreset", {"a": 1}, "HEAD", "", {"url": "/nowhere"})
    assert bench.run(program, plan, nodes=2, memory="2G") == 0, bench.said
    assert bench.heard("meeting 1 other processes at 127.0.0.1:")
    monkeypatch.chdir(workspace.path)
    assert artifacts.open("data/coreset").root == root


@pytest.mark.parametrize(("rank", "status", "ended"), [("1", 3, 3), ("0", 3, 3), ("1", 9, None)])
def test_a_node_that_fails_ends_the_others(bench: Bench, rank: str, status: int, ended: int | None) -> None:
    bench.values["retries"] = 0
    fails = f"if os.environ.get('PET_NODE_RANK') == {rank!r}: sys.exit({status})"
    waits = "if sys.argv[1] == 'run': time.sleep(600)"
    found = bench.run(f"{fails}\n{waits}", TRAIN, nodes=2)
    assert found == ended if ended else found not in (0, 3, 75)


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
    first = bench.start(f"print('up', flush=True); {bench.waits()}; sys.exit(3)")
    bench.until("| up")
    bench.values["folder"] = str(bench.folder / "mine")
    second = bench.start("sys.exit(9)")
    bench.until("already in the queue as job")
    bench.go.touch()
    assert (first.status(), second.status()) == (3, 3)
    assert bench.logged() == ["up"]


def test_the_temporary_folder_goes_with_the_job(bench: Bench) -> None:
    assert bench.run("print(os.environ['TMPDIR'], os.path.isdir(os.environ['TMPDIR']))") == 0
    folder, there = bench.logged()[0].split()
    assert there == "True" and not Path(folder).exists()
