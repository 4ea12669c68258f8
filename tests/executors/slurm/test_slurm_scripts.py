"""The scripts that sbatch reads, and what is refused before a cluster is asked."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from workspace import REPOSITORY

from commands.ablate.matrix import round_trip
from executors import container
from executors.slurm import jobs, submit
from executors.slurm.controller import Controller
from executors.slurm.jobs import Settings
from executors.walk import Plan
from stages.lib import params
from stages.lib.errors import BadInput

REMOTE = {"url": "/shared/store"}
LOCKED = "registry.example/tidemill-gpu@sha256:" + "0" * 64


def settings(resources: dict[str, Any] | None = None, **cluster: Any) -> Settings:
    values = {**params.read(REPOSITORY / jobs.FILE)["cluster"], "folder": "/shared/work", **cluster}
    values["resources"] = {**values["resources"], **(resources or {})}
    return Settings.model_validate(values)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def scripts(stage: str, given: Settings, remote: dict[str, str] = REMOTE) -> list[str]:
    plan = Plan(stage, {}, "c0ffee", "10c", remote)
    return [jobs.render(plan, part, given) for part in jobs.parts(stage, given.of(stage))]


def options(script: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")]
    return dict((*line.split("=", 1), "")[:2] for line in lines)  # type: ignore[misc]


def test_a_stage_is_one_job_with_its_resources() -> None:
    (script,) = scripts("train@evolved-1", settings({"train": {"cpus": 8, "memory": "64G", "gpus": 2, "nodes": 2}}))
    found = options(script)
    key = Plan("train@evolved-1", {}, "", "", {}).key
    assert found["job-name"] == f"tidemill-train-evolved-1-{key}"
    wanted = {"nodes": "2", "ntasks-per-node": "1", "cpus-per-task": "8", "mem": "64G", "gres": "gpu:2"}
    assert wanted.items() <= found.items()
    assert found["signal"] == "B:USR1@120" and "requeue" in found and found["open-mode"] == "append"
    assert not {"partition", "account", "qos", "time", "array"} & found.keys(), "the cluster's defaults"
    assert script.startswith("#!/bin/bash\n") and "export STAGE=train@evolved-1\n" in script
    assert "PHASES=(fetch run deliver)" in script and "export NODES=2" in script


def test_the_clusters_settings_and_a_stages_own() -> None:
    own = {"embed": {"cpus": 1, "memory": "1G", "partition": "gpu", "time": "2:00:00", "options": ["--exclude=n7"]}}
    given = {"partition": "cpu", "account": "lab", "qos": "low", "time": "1-0", "options": ["--constraint=avx512"]}
    embed, filtered = (options(*scripts(stage, settings(own, **given))) for stage in ("embed", "filter"))
    assert (embed["partition"], embed["time"], embed["exclude"]) == ("gpu", "2:00:00", "n7")
    assert (filtered["partition"], filtered["time"]) == ("cpu", "1-0")
    for found in embed, filtered:
        assert (found["account"], found["qos"], found["constraint"]) == ("lab", "low", "avx512")


def test_shards_are_three_jobs_in_one_workspace() -> None:
    fetch, shards, stage = scripts("embed", settings({"embed": {"cpus": 1, "memory": "1G", "shards": 4, "gpus": 1}}))
    assert options(shards)["array"] == "0-3" and "export SHARDS=4" in shards and "PHASES=(shard)" in shards
    assert "gres" not in options(fetch) and options(stage)["gres"] == "gpu:1"
    assert len({options(one)["job-name"] for one in (fetch, shards, stage)}) == 3
    assert len({one.partition("export WORKSPACE=")[2].partition("\n")[0] for one in (fetch, shards, stage)}) == 1


def test_environments_and_images(monkeypatch: pytest.MonkeyPatch) -> None:
    (own,) = scripts("filter", settings(modules=["python/3.11", "cuda/12"], python="/opt/py"))
    assert own.startswith("#!/bin/bash -l\n") and "MODULES=(python/3.11 cuda/12)" in own
    assert "export TIDEMILL_PYTHON=/opt/py" in own and "ENTER=()" in own

    (sif,) = scripts("filter", settings(container="apptainer", registry="/images", mounts=["/scratch"]))
    assert "/images/tidemill-cpu.sif)" in sif and "ENTER=(apptainer exec --bind /shared/work/" in sif
    assert "--bind /scratch" in sif and "--bind /shared/store" in sif, "the remote is a folder"
    assert "export PYTHON=python3" in sif and "TIDEMILL_PYTHON" not in sif.partition("# On a node")[0]

    lock = {"gpu": "sha256:" + "1" * 64, "cpu": "unlocked", "score": "unlocked", "references": {"gpu": LOCKED}}
    monkeypatch.setattr(container, "read_lock", lambda: lock)
    gpu = {"embed": {"cpus": 1, "memory": "1G", "gpus": 1}}
    (pulled,) = scripts("embed", settings(gpu, container="apptainer"), {"url": "s3://bucket/x"})
    assert f"docker://{LOCKED})" in pulled and " --nv " in pulled and f"TIDEMILL_IMAGE={LOCKED}\n" in pulled
    (podman,) = scripts("embed", settings(gpu, container="podman"))
    assert f"{LOCKED})" in podman and "docker://" not in podman and "--env-host" in podman
    scheduler = submit.Submitter.__new__(submit.Submitter)
    scheduler.settings = settings(gpu, container="apptainer")
    assert scheduler.inputs("embed") == {"image": LOCKED}, "as on Kubernetes: what one delivers the other takes"


def test_every_stage_renders_as_bash_that_parses() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "executors.slurm", "render"], capture_output=True, text=True, timeout=240, check=True
    )
    assert done.stdout.count("#SBATCH --job-name=") == done.stdout.count("# On a node:") > 12
    subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)


@pytest.mark.parametrize(
    ("stage", "resources", "cluster", "words"),
    [
        ("assemble", {"assemble": {"cpus": 1, "memory": "1G", "shards": 2}}, {}, "assemble cannot use 2 shards"),
        ("embed", {"embed": {"cpus": 1, "memory": "1G", "nodes": 2}}, {}, "embed cannot use 2 nodes; only these"),
        ("coreset", {"coreset": {"cpus": 1, "memory": "1G", "shards": 2, "nodes": 2}}, {}, "coreset: shards and nodes"),
    ],
)
def test_what_a_stage_cannot_use(stage: str, resources: dict, cluster: dict, words: str) -> None:
    with pytest.raises(BadInput, match=f"slurm/params.yaml: resources: {words}"):
        jobs.parts(stage, settings(resources, **cluster).of(stage))


def test_a_gpu_that_params_ask_for_and_the_settings_do_not_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params, "merged", lambda: {"train": {"device": "cuda"}})
    for kind in ("", "apptainer"):
        with pytest.raises(
            BadInput, match=r"train.device is cuda; slurm/params.yaml: give resources.train a line `gpus"
        ):
            jobs.image("train", settings(container=kind))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"partitoin": "x"}, "cluster.partitoin: unknown key; did you mean 'partition'"),
        ({"resources": {"default": {"cpus": 0, "memory": "1G"}}}, "cluster.resources.default.cpus: .*greater than"),
        ({"resources": {"default": {"cpus": 1, "memory": "1GiB"}}}, "cluster.resources.default.memory: "),
        ({"resources": {"default": {"cpus": 1, "memory": "1G", "shards": 0}}}, "cluster.resources.default.shards: "),
        ({"container": "docker"}, "cluster.container: .*'apptainer' or 'podman'"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, words: str) -> None:
    (tmp_path / "slurm").mkdir()
    values = YAML(typ="safe").load(REPOSITORY / jobs.FILE)
    values["cluster"].update(change)
    round_trip().dump(values, tmp_path / jobs.FILE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=words):
        jobs.load_settings()


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="no Slurm: sbatch is not on this machine; log in to the cluster, or use EXEC"):
        Controller()


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck here")
def test_the_script_as_shellcheck_sees_it() -> None:
    (script,) = scripts("filter", settings())
    done = subprocess.run(["shellcheck", "--severity=warning", "-"], input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
