"""Training in two processes on CPUs (gloo): the same losses as one process, and the same ways to stop."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tuning import run, small
from workspace import REPOSITORY, Workspace

from executors.kubernetes import jobs
from stages.lib import artifacts, processes
from stages.lib.errors import BadInput
from stages.lib.models import causal
from stages.lib.training import devices

pytestmark = pytest.mark.torch

__all__ = ["small"]  # a fixture


@pytest.fixture
def steady(small: Workspace) -> Workspace:
    """Without dropout, whose random numbers are each process's own; the last of 7 steps is short of rows."""
    small.set("train.lora.dropout", 0.0)
    small.set("train.batch_rows", 6)
    small.set("train.micro_batch_rows", 1)
    return small


def log() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("models/tuned/log.jsonl").read_text().splitlines()]


def agree(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> None:
    assert [entry.keys() for entry in one] == [entry.keys() for entry in two]
    for here, there in zip(one, two, strict=True):
        for name in here:
            assert there[name] == pytest.approx(here[name], abs=1e-4), (name, here, there)


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(steady: Workspace) -> None:
    import torch
    from safetensors.torch import load_file

    run(steady)
    alone, weights = log(), load_file("models/tuned/adapter/adapter_model.safetensors")
    assert len([entry for entry in alone if "loss" in entry]) == 7
    steady.set("train.processes", 2)
    for sharding in ("none", "fsdp"):
        steady.set("train.sharding", sharding)
        run(steady)
        agree(alone, log())
        theirs = load_file("models/tuned/adapter/adapter_model.safetensors")
        assert theirs.keys() == weights.keys()
        assert all(torch.allclose(theirs[name], weights[name], atol=1e-4) for name in weights)
    assert artifacts.read_json(Path("models/tuned/artifact.json"))["params"]["devices"] == 2


@pytest.mark.slow
def test_fsdp_tunes_every_weight_and_goes_on_after_a_stop(steady: Workspace) -> None:
    steady.set("train.method", "full")
    steady.set("train.learning_rate", 1e-3)
    run(steady)
    alone = log()
    steady.set("train.sharding", "fsdp")
    steady.set("train.processes", 2)
    assert steady.stop("train", "step 4 of 7", signal.SIGTERM) == 75
    assert not Path("models/tuned").exists() or artifacts.open("models/tuned").root
    done = steady.run("train")
    assert done.returncode == 0, done.stderr
    assert "resuming from" in done.stderr
    agree(alone, log())
    model, _ = causal.load_tuned(Path("models/tuned"))
    assert (
        sum(weights.numel() for weights in model.parameters())
        == json.loads(Path("metrics/train.json").read_text())["parameters"]
    )


@pytest.mark.slow
def test_the_pods_of_several_nodes_share_a_workspace_and_give_the_losses_of_one(
    steady: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables are the rendered Job's own; the index is the Job controller's, the address the Service's."""
    steady.set("train.epochs", 1)
    run(steady)
    alone = log()
    monkeypatch.chdir(REPOSITORY)
    settings = jobs.load_settings()
    settings.resources["train"] = jobs.Resources(cpu="1", memory="1Gi", nodes=2)
    _, rendered = jobs.render(jobs.Plan("train", {}, "HEAD", "", {}), settings)
    monkeypatch.chdir(steady.path)
    (container,) = rendered[1]["spec"]["template"]["spec"]["containers"]
    meeting = {one["name"]: one.get("value", "") for one in container["env"] if one["name"].startswith("PET_")}
    assert meeting.keys() == {"PET_NNODES", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT"}
    meeting |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(processes._free_port())}
    pods = [steady.start("train", **{**meeting, "PET_NODE_RANK": str(index)}) for index in range(2)]
    try:
        said = [pod.communicate(timeout=280)[0] for pod in pods]
    finally:
        for pod in pods:
            pod.kill()
    assert [pod.returncode for pod in pods] == [0, 0], said
    agree(alone, log())
    assert artifacts.open("models/tuned").params["devices"] == 2
    assert not list(Path(".tidemill/checkpoints/train").glob("*/checkpoint-*"))


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_all_processes(steady: Workspace) -> None:
    steady.set("train.learning_rate", 1e30)
    steady.set("train.processes", 2)
    done = steady.run("train")
    assert done.returncode == 3, done.stderr
    assert "at step" in done.stderr and "process 0 of 2 reported what is wrong" in done.stderr
    assert not Path("models/tuned").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_rows": 5, "processes": 2}, "5 rows cannot be split into micro-batches of 1 on 2 devices"),
        ({"sharding": "fsdp"}, "fsdp shares a model among devices, but there is only one"),
    ],
)
def test_what_cannot_be_shared_so_is_refused(steady: Workspace, values: dict[str, Any], message: str) -> None:
    for key, value in values.items():
        steady.set(f"train.{key}", value)
    done = steady.run("train")
    assert done.returncode == 3 and message in done.stderr, done.stderr


def test_the_global_batch_is_kept_whatever_the_devices() -> None:
    assert [devices.accumulation(256, 2, replicas) for replicas in (1, 4, 8, 128)] == [128, 32, 16, 1]
    with pytest.raises(
        BadInput, match=r"128 rows cannot be split into micro-batches of 3 on 8 devices; .*\[1, 2, 4, 8, 16\]"
    ):
        devices.accumulation(128, 3, 8)
    with pytest.raises(BadInput, match="use another number of devices"):
        devices.accumulation(128, 1, 6)


def test_an_environment_that_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PET_NNODES", "two")
    with pytest.raises(BadInput, match="PET_NNODES is 'two'"):
        processes.machines()
