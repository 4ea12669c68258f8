"""A Job's pods in the real images, under the restricted level's rules, with no network but an S3 server."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import completions
import pytest
import s3server
from clones import Street
from podmanserver import PODMAN, PodmanServer
from ruamel.yaml import YAML
from workspace import REPOSITORY

from executors import container
from stages.lib.sandbox import pod

pytestmark = [
    pytest.mark.slow,
    pytest.mark.container,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.getuid() != 0, reason="entering a container's network takes root here"),
]


def needs(kind: str) -> pytest.MarkDecorator:
    there = PODMAN and container.inspect_id(PODMAN, f"tidemill-{kind}")
    return pytest.mark.skipif(not there, reason=f"no podman with an image tidemill-{kind} here (`make images`)")


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """An S3 server at one address twice: here, and in the network, otherwise empty, of the container that is named."""
    for variable, value in ("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("DEFAULT_REGION", "us-east-1"):
        monkeypatch.setenv(f"AWS_{variable}", value)
    folder, port, name = tmp_path / "s3", s3server.free_port(), f"tidemill-network-{os.getpid()}"
    (folder / "bucket").mkdir(parents=True)
    quiet = ["--network", "none", "--log-driver", "none", "--entrypoint", "sleep"]
    subprocess.run(
        [str(PODMAN), "run", "--rm", "--detach", "--name", name, *quiet, "tidemill-cpu", "infinity"], check=True
    )
    try:
        words = [str(PODMAN), "inspect", "--format", "{{.State.Pid}}", name]
        process = subprocess.check_output(words, text=True).strip()
        with s3server.serve(folder, port, ("nsenter", f"--net=/proc/{process}/ns/net")):
            yield f"http://127.0.0.1:{port}", name
    finally:
        subprocess.run([str(PODMAN), "rm", "--force", "--time", "0", name], check=True)


@pytest.fixture
def server(endpoint: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PodmanServer]:
    tmp_path.chmod(0o755)
    with PodmanServer(tmp_path / "cluster", endpoint[1]) as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig))
        yield running


def prepare(street: Street, endpoint: str, **cluster: object) -> None:
    street.edit(
        "k8s/params.yaml", "k8s/params.yaml", lambda values: values["cluster"].update(secret="tidemill", **cluster)
    )
    street.dvc("remote", "modify", "store", "endpointurl", endpoint)
    street.commit()


def roots(street: Street) -> dict[str, str]:
    seals = sorted((street.path / "data").rglob("artifact.json"))
    return {str(seal.parent.relative_to(street.path)): json.loads(seal.read_text())["root"] for seal in seals}


@needs("cpu")
def test_two_stages_in_their_image_make_what_this_machine_makes(
    server: PodmanServer, endpoint: tuple[str, str], tmp_path: Path
) -> None:
    street = Street(tmp_path / "host", "s3://bucket/store")
    prepare(street, endpoint[0])
    local = street.clone(tmp_path / "local")
    ran = local.dvc("repro")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ran = street.run("executors.kubernetes", "run")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(server.started) == 2
    assert roots(street) == roots(local) and len(roots(local)) == 2
    assert (street.path / "dvc.lock").read_text() == (local.path / "dvc.lock").read_text()


@needs("cpu")
@needs("score")
def test_score_in_shards_where_the_pod_is_the_only_wall(
    server: PodmanServer, endpoint: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's own seccomp profile and masked /proc keep every namespace from the sandbox; a program that leaves
    things behind in the workspace finds none of them executed by the pod that has credentials."""
    street = Street(tmp_path / "host", "s3://bucket/store", ())
    monkeypatch.chdir(street.path)
    completions.write()
    shutil.move("data/completions/base", "tree/completions")
    copied = {
        "cmd": "mkdir -p data/completions && cp -r tree/completions data/completions/base",
        "deps": ["tree/completions"],
        "outs": ["data/completions/base"],
    }
    score = YAML(typ="safe").load(REPOSITORY / "dvc.yaml")["stages"]["score"] | {"foreach": ["base"]}
    street.edit("dvc.yaml", "dvc.yaml", lambda values: values.update(stages={"sample": copied, "score": score}))
    little = {"cpu": "1", "memory": "1Gi"}
    prepare(street, endpoint[0], resources={"default": little, "score": {**little, "shards": 2}})
    assert street.dvc("repro", "sample").returncode == 0
    local = street.clone(tmp_path / "local")
    ran = local.dvc("repro")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ran = street.run("executors.kubernetes", "run", "score@base")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = [line for line in ran.stdout.splitlines() if "programs, isolation: " in line]
    assert len(told) == 2 and all(pod.NAME in line for line in told), ran.stdout
    assert [name.rpartition("-")[2] for name in server.started] == ["fetch", "shards", "shards", "run", "deliver"]
    assert roots(street) == roots(local)
    assert (street.path / "dvc.lock").read_text() == (local.path / "dvc.lock").read_text()
