"""EXECUTOR=slurm from end to end: real stages, a real Slurm, a remote in a folder, real DVC."""

import json
import os
import signal
from pathlib import Path

import pytest
from clones import KEPT, Street
from slurmcluster import SlurmCluster
from waiting import until
from workspace import REPOSITORY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


def make_street(tmp_path: Path, *more: str, **of_embed: int) -> Street:
    street = Street(tmp_path / "host", str(tmp_path / "remote"), (*KEPT, *more))
    wanted = {"cpus": 1, "memory": "1G"}
    resources = {"default": wanted, "embed": {**wanted, **of_embed}}
    settings = {"folder": str(tmp_path / "shared"), "poll": 0.5, "resources": resources}
    street.edit(
        REPOSITORY / "slurm/params.yaml", "slurm/params.yaml", lambda values: values["cluster"].update(settings)
    )
    street.commit()
    return street


def roots(street: Street) -> dict[str, str]:
    seals = sorted((street.path / "data").rglob("artifact.json"))
    return {str(seal.parent.relative_to(street.path)): json.loads(seal.read_text())["root"] for seal in seals}


def begun(cluster: SlurmCluster, folder: Path) -> list[str]:
    """The jobs of this test that were ever started."""
    return sorted(path.name for path in (folder / "shared").rglob("*.log"))


def test_the_cluster_makes_what_this_machine_makes_and_a_finished_run_costs_nothing(
    cluster: SlurmCluster, tmp_path: Path
) -> None:
    street = make_street(tmp_path)
    street.git("clone", "--quiet", ".", str(tmp_path / "local"))
    local = object.__new__(Street)
    local.path = tmp_path / "local"
    ran = local.dvc("repro")
    assert ran.returncode == 0, ran.stdout + ran.stderr

    ran = street.run("executors", EXECUTOR="slurm")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert roots(street) == roots(local) and roots(street)
    assert (street.path / "dvc.lock").read_text() == (local.path / "dvc.lock").read_text()
    assert "where the time went\n  collect " in ran.stdout
    assert len(begun(cluster, tmp_path)) == 2
    assert not list((tmp_path / "shared").glob("*/workspace")), "no workspace is left"

    again = street.run("executors", EXECUTOR="slurm")
    assert again.returncode == 0 and "nothing is stale" in again.stdout
    other = street.clone(tmp_path / "other")  # a colleague at the same commit, who has nothing yet
    ran = other.run("executors.slurm", "run")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert roots(other) == roots(local)
    assert len(begun(cluster, tmp_path)) == 2, "what is delivered is not run again"
    refused = street.dvc("repro", "--force", "--single-item", "filter", EXECUTOR="slurm")
    assert refused.returncode and "under EXECUTOR=slurm stages run as jobs" in refused.stdout + refused.stderr


def test_a_killed_submitter_attaches_and_bad_input_fails_once_with_its_own_status(
    cluster: SlurmCluster, tmp_path: Path
) -> None:
    street = make_street(tmp_path)
    change = {"sources": [{"kind": "tree", "name": "ours", "path": "absent", "license": "MIT"}]}
    street.edit("params.yaml", "params.yaml", lambda values: values["collect"].update(change))
    street.commit()
    first = street.start("executors.slurm", "run", "collect")
    assert first.stdout and any("submitted as job" in line for line in first.stdout)
    first.send_signal(signal.SIGKILL)
    first.wait(240)
    second = street.run("executors.slurm", "run", "collect")
    assert second.returncode == 3, second.stdout + second.stderr
    assert "already in the queue as job" in second.stdout and "absent" in second.stdout
    assert len(begun(cluster, tmp_path)) == 1


def test_a_stage_in_shards_one_of_them_killed_makes_what_one_run_makes(cluster: SlurmCluster, tmp_path: Path) -> None:
    street = make_street(tmp_path, "embed", shards=2)
    small = {"batch_rows": 1, "shard_batches": 1, "threads": 1, "device": "cpu"}
    street.edit("params.yaml", "params.yaml", lambda values: values["embed"].update(small))
    street.commit()
    whole = street.clone(tmp_path / "whole")
    ran = whole.dvc("repro")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert street.dvc("repro", "filter").returncode == 0

    process = street.start("executors.slurm", "run", "embed", TIDEMILL_LOG="debug")
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if "-shards[1]: runs on n" in line:
            break
    else:
        pytest.fail("shard 1 was not started:\n" + "".join(said))
    (place,) = (tmp_path / "shared").glob("tidemill-embed-*")
    lock = place / "workspace/.tidemill/run/embed.shard1of2.lock"
    until(lambda: lock.is_file() and "process " in lock.read_text(), lambda: "".join(said), seconds=240)
    os.kill(int(lock.read_text().split()[-1]), signal.SIGKILL)  # it loads its encoder, which takes seconds
    cluster.hasten(lambda: "".join(said))
    said += process.stdout.readlines()
    assert process.wait(400) == 0, "".join(said)
    assert roots(street) == roots(whole)
    assert (street.path / "dvc.lock").read_text() == (whole.path / "dvc.lock").read_text()
    made = [line.partition("encoded ")[2] for line in said if "encoded shard" in line]
    assert len(set(made)) == len(made) >= 6, "no save is made twice"
    assert not any("encoded shard" in line for line in said if "-shards[" not in line), "the last job made none"


def test_ctrl_c_leaves_the_job_and_stop_cancels_it(cluster: SlurmCluster, tmp_path: Path) -> None:
    street = make_street(tmp_path)
    cluster.call("scontrol", "update", "PartitionName=main", "State=DOWN")
    try:
        process = street.start("executors.slurm", "run", "collect")
        assert process.stdout and any("waits for its partition, which is down" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        assert "left running: collect" in (said := process.stdout.read()) and "`make slurm-stop STAGE=…`" in said
        assert process.wait(240) == 130
        assert "cancelled" in street.run("executors.slurm", "stop", "collect").stdout
        assert not cluster.call("squeue", "--noheader")
        stopped = street.run("executors.slurm", "stop", "collect")
        assert stopped.returncode == 3 and "there is no job of collect in the queue" in stopped.stderr
    finally:
        cluster.call("scontrol", "update", "PartitionName=main", "State=UP")


def test_a_shard_of_another_commit_is_refused(tmp_path: Path) -> None:
    """As where somebody starts an array by hand in a workspace that holds other code."""
    street = make_street(tmp_path)
    commit = street.git("rev-parse", "HEAD").strip()
    (street.path / "stages/collect.py").open("a").write("# changed\n")
    street.commit()
    told = {"STAGE": "embed", "KEY": "k", "REMOTE": "{}", "WORKSPACE": str(street.path), "SLURM_JOB_ID": "1"}
    told |= {"JOB_COMPLETION_INDEX": "0", "SHARDS": "2", "COMMIT": commit, "PYTHONPATH": str(REPOSITORY / "k8s/base")}
    ran = street.run("pod", "shard", **told)
    assert (
        ran.returncode == 3
        and f"job: shard 0/2 is of commit {commit}, and {street.path} holds other code" in ran.stderr
    )
