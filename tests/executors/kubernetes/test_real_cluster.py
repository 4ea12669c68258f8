r"""Stages as Jobs of a real cluster, with its own scheduler, kubelet, volumes and registry.

    TIDEMILL_CLUSTER=s3://bucket/path [TIDEMILL_ENDPOINT=URL] \
        make test TESTS=tests/executors/kubernetes/test_real_cluster.py

KUBECONFIG names the cluster, prepared by `make k8s-setup`; k8s/params.yaml and containers/images.lock.yaml of this
working tree say how Jobs are made and where their images are (the Secret has the remote's credentials, as this
environment has). Pods reach the remote at the same address. Each run uses a folder of its own there, and leaves in the
namespace Jobs that end by themselves (`cluster.keep`, an hour here).
"""

import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from clones import Street
from ruamel.yaml import YAML
from waiting import until
from workspace import REPOSITORY

from executors import container

REMOTE = os.environ.get("TIDEMILL_CLUSTER", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.cluster,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not REMOTE, reason="no cluster: TIDEMILL_CLUSTER names a remote that its pods reach"),
    pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl here, by which these tests meddle"),
]


def make_street(path: Path, kept: tuple[str, ...] = ("collect", "filter"), **cluster: object) -> Street:
    """Stages whose Jobs nobody has run before: the source's name, which counts in theirs, is drawn."""
    street = Street(path / "host", f"{REMOTE}/{uuid.uuid4().hex}", kept)
    if endpoint := os.environ.get("TIDEMILL_ENDPOINT"):
        street.dvc("remote", "modify", "store", "endpointurl", endpoint)
    name = f"ours-{uuid.uuid4().hex}"
    street.edit("params.yaml", "params.yaml", lambda values: values["collect"]["sources"][0].update(name=name))
    street.edit(REPOSITORY / "k8s/params.yaml", "k8s/params.yaml", lambda values: values["cluster"].update(keep=3600))
    edit_cluster(street, **cluster)
    # This machine makes the same stages for comparison, and has not the cluster's image.
    unlocked = dict.fromkeys(("cpu", "gpu", "score", "teacher"), container.UNLOCKED)
    street.edit(str(container.LOCK), str(container.LOCK), lambda values: values.update(unlocked))
    street.commit()
    return street


def cluster_of(street: Street) -> dict[str, Any]:
    return dict(YAML(typ="safe").load(street.path / "k8s/params.yaml")["cluster"])


def edit_cluster(street: Street, **cluster: object) -> None:
    street.edit("k8s/params.yaml", "k8s/params.yaml", lambda values: values["cluster"].update(cluster))
    street.commit()


def roots(street: Street) -> dict[str, str]:
    seals = sorted((street.path / "data").rglob("artifact.json"))
    return {str(seal.parent.relative_to(street.path)): json.loads(seal.read_text())["root"] for seal in seals}


def kubectl(street: Street, *words: str) -> str:
    namespace = cluster_of(street)["namespace"]
    return subprocess.check_output(["kubectl", "--namespace", namespace, *words], text=True)


def test_jobs_make_what_this_machine_makes_and_a_deleted_pod_costs_no_attempt(tmp_path: Path) -> None:
    street = make_street(tmp_path, retries=0)
    local = street.clone(tmp_path / "local")
    assert local.dvc("repro").returncode == 0

    process = street.start("executors.kubernetes", "run")
    said: list[str] = []
    deleted = ""
    for line in process.stdout:
        said.append(line)
        if "> stages/run filter" in line and not deleted:
            deleted = line.split(" | ")[0]
            kubectl(street, "delete", "--wait=false", "pod", deleted)
    assert process.wait() == 0, "".join(said)
    assert len({line.split()[0] for line in said if ": running" in line}) == 3, "collect's, and filter's two"
    assert roots(street) == roots(local)
    assert (street.path / "dvc.lock").read_text() == (local.path / "dvc.lock").read_text()
    assert "nothing is stale" in street.run("executors.kubernetes", "run").stdout


def test_shards_make_what_one_run_makes(tmp_path: Path) -> None:
    street = make_street(tmp_path, ("collect", "filter", "embed"))
    local = street.clone(tmp_path / "local")
    assert local.dvc("repro").returncode == 0
    resources = cluster_of(street)["resources"]
    edit_cluster(street, resources={**resources, "embed": {**resources["default"], "shards": 2}})
    ran = street.run("executors.kubernetes", "run")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "-shards-" in ran.stdout and roots(street) == roots(local)


def test_bad_input_ends_a_job_at_its_first_pod(tmp_path: Path) -> None:
    street = make_street(tmp_path)
    street.edit("params.yaml", "params.yaml", lambda values: values["filter"].update(blacklist="absent.txt"))
    street.commit()
    ran = street.run("executors.kubernetes", "run")
    assert ran.returncode == 3 and "absent.txt" in ran.stdout
    assert len({line.split()[0] for line in ran.stdout.splitlines() if ": ended with status 3" in line}) == 1


def test_a_failed_jobs_workspace_is_there_for_the_next(tmp_path: Path) -> None:
    street = make_street(tmp_path, retries=0)
    resources = cluster_of(street)["resources"]
    edit_cluster(street, resources={**resources, "default": {**resources["default"], "memory": "48Mi"}})
    ran = street.run("executors.kubernetes", "run", "collect")
    assert ran.returncode not in (0, 3) and "out of memory" in ran.stdout, ran.stdout
    name = next(line.split(":")[0] for line in ran.stdout.splitlines() if ": submitted" in line)
    volume = kubectl(street, "get", "pvc", name, "--output=jsonpath={.metadata.uid}")

    edit_cluster(street, resources=resources)
    process = street.start("executors.kubernetes", "run", "collect")
    said = []
    for line in process.stdout:
        said.append(line)
        if ": running" in line:
            assert kubectl(street, "get", "pvc", name, "--output=jsonpath={.metadata.uid}") == volume
    assert process.wait() == 0, "".join(said)
    assert f"{name} failed before; submitting it again\n" in said


def test_an_image_that_is_nowhere(tmp_path: Path) -> None:
    street = make_street(tmp_path)
    street.edit(str(container.LOCK), str(container.LOCK), lambda values: values.update(references={}))
    edit_cluster(street, registry="registry.invalid/nobody")
    ran = street.run("executors.kubernetes", "run", "collect")
    assert ran.returncode == 3 and "no such image: registry.invalid/nobody/tidemill-cpu" in ran.stdout
    name = next(line.split(":")[0] for line in ran.stdout.splitlines() if ": submitted" in line)
    assert name not in kubectl(street, "get", "jobs", "--output=name")


def test_stopped_and_forgotten(tmp_path: Path) -> None:
    street = make_street(tmp_path)
    edit_cluster(street, node_selector={"tidemill/nobody": "has-this"})
    process = street.start("executors.kubernetes", "run", "collect")
    said = ""
    while ": pending: " not in said:
        said += process.stdout.readline()
    name = next(line.split(":")[0] for line in said.splitlines() if ": submitted" in line)
    stopped = street.run("executors.kubernetes", "stop", "collect")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert process.wait(60) == 1 and "was deleted while we watched it" in process.stdout.read()
    until(lambda: name not in kubectl(street, "get", "jobs,pods,pvc,configmaps", "--output=name"), seconds=300)
