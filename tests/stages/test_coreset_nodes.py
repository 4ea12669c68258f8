"""The stage coreset in several processes, as on several nodes: the artifact of one, and the same ways to end."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from corpora import write_vectors
from waiting import until
from workspace import Workspace

from stages.lib import artifacts, processes

pytestmark = [pytest.mark.slow, pytest.mark.torch]
SAVES = Path(".tidemill/checkpoints/coreset")
Node = subprocess.Popen[str]


class Nodes:
    """Starts the stage once for each node; whatever is left of them ends with the test."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.started = workspace, list[Node]()

    def start(self, count: int, indices: list[int] | None = None, **environment: str) -> list[Node]:
        meeting = {"PET_NNODES": str(count), "PET_MASTER_ADDR": "127.0.0.1"}
        meeting |= {"PET_MASTER_PORT": str(processes._free_port()), **environment}
        places = range(count) if indices is None else indices
        nodes = [self.workspace.start("coreset", **meeting, PET_NODE_RANK=str(place)) for place in places]
        self.started += nodes
        return nodes

    def end(self, nodes: list[Node]) -> list[tuple[int, str]]:
        """Each node's exit status and what it said."""
        said = [node.communicate(timeout=240)[0] for node in nodes]
        return [(node.returncode, text) for node, text in zip(nodes, said, strict=True)]


@pytest.fixture
def nodes(workspace: Workspace) -> Iterator[Nodes]:
    made = Nodes(workspace)
    yield made
    for node in made.started:
        node.kill()
        node.wait()


def alone(workspace: Workspace) -> tuple[str, bytes, bytes]:
    """What one process makes: the root, the metrics, the plot. Nothing of it is left."""
    done = workspace.run("coreset")
    assert done.returncode == 0, done.stderr
    return made(remove=True)


def made(remove: bool = False) -> tuple[str, bytes, bytes]:
    found = artifacts.open("data/coreset").root, Path("metrics/coreset.json"), Path("plots/coreset.csv")
    contents = found[0], found[1].read_bytes(), found[2].read_bytes()
    if remove:
        for folder in "data/coreset", "metrics", "plots":
            shutil.rmtree(folder)
    return contents


def vectors(rows: int, kind: type = np.float16) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((rows, 48)).astype(kind)


@pytest.mark.parametrize(
    ("count", "settings"),
    [
        (2, {"k": 500, "radius": 8.3}),
        (3, {"k": 2000, "first": "random", "seed": 4, "normalize": True}),  # more than there are: all are taken
    ],
)
def test_several_nodes_make_the_bytes_of_one(
    workspace: Workspace, nodes: Nodes, count: int, settings: dict[str, object]
) -> None:
    write_vectors(vectors(1500, np.float16 if count == 2 else np.float32))
    for key, value in settings.items():
        workspace.set(f"coreset.{key}", value)
    whole = alone(workspace)
    ended = nodes.end(nodes.start(count))
    assert [status for status, _ in ended] == [0] * count, ended
    assert made() == whole
    assert not list(SAVES.glob("*/*"))


def test_copies_and_ties_are_decided_as_in_one(workspace: Workspace, nodes: Nodes) -> None:
    write_vectors(np.random.default_rng(7).integers(0, 2, (1200, 9)).astype(np.float16))  # of 512 different rows
    workspace.set("coreset.k", 600)
    whole = alone(workspace)
    ended = nodes.end(nodes.start(3))
    assert [status for status, _ in ended] == [0] * 3 and made() == whole, ended


def test_sigterm_to_one_node_saves_on_all_and_they_go_on(workspace: Workspace, nodes: Nodes) -> None:
    write_vectors(vectors(16_000))
    workspace.set("coreset.k", 14_000)
    running = nodes.start(2)
    until(lambda: list(SAVES.glob("*")), poll=0.01)
    running[1].send_signal(signal.SIGTERM)
    assert [status for status, _ in nodes.end(running)] == [75, 75]
    assert not Path("data/coreset").exists()
    assert {save.name.partition("-")[0] for save in SAVES.glob("*/*")} == {"shard0of2", "shard1of2"}
    shutil.copytree(SAVES, "saves")
    fewer = workspace.run("coreset")
    assert fewer.returncode == 0 and "resuming after" not in fewer.stderr, "another number's saves do not fit"
    whole = made(remove=True)
    shutil.rmtree(SAVES)
    Path("saves").rename(SAVES)
    ended = nodes.end(nodes.start(2))
    assert [status for status, _ in ended] == [0, 0] and "resuming after" in ended[0][1], ended
    assert made() == whole


@pytest.mark.parametrize("lost", [0, 1])
def test_a_node_that_is_killed_ends_the_other_and_both_go_on(workspace: Workspace, nodes: Nodes, lost: int) -> None:
    write_vectors(vectors(16_000))
    workspace.set("coreset.k", 14_000)
    whole = alone(workspace)
    running = nodes.start(2)
    until(lambda: list(SAVES.glob("*")), poll=0.01)
    running[lost].kill()
    ended = nodes.end(running)
    status, said = ended[1 - lost]
    assert status == 1 and "coreset: another of the 2 processes has ended, and its own log says why" in said, said
    assert "Traceback" not in said
    assert not Path("data/coreset").exists()
    ended = nodes.end(nodes.start(2))
    assert [status for status, _ in ended] == [0, 0], ended
    assert made() == whole


def test_bad_input_that_only_the_first_reads_ends_all_with_3(workspace: Workspace, nodes: Nodes) -> None:
    write_vectors(vectors(600))
    with Path("data/embeddings/embeddings.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    for status, said in nodes.end(nodes.start(2)):
        assert status == 3 and "data/embeddings/embeddings.npy was changed" in said, said


def test_bad_input_that_one_other_finds_ends_all_with_3(workspace: Workspace, nodes: Nodes) -> None:
    rows = vectors(600)
    rows[599, 3] = np.nan
    write_vectors(rows)
    for status, said in nodes.end(nodes.start(2)):
        assert status == 3 and "rows [599] (the first ten) contain NaN" in said, said


def test_a_node_with_a_workspace_of_its_own_is_refused(workspace: Workspace, nodes: Nodes, tmp_path: Path) -> None:
    """Its copy of the embeddings is one that nobody has verified."""
    write_vectors(vectors(600))
    (tmp_path / "other").mkdir()
    shutil.copytree("data", tmp_path / "other/data")
    os.utime(tmp_path / "other/data/embeddings/embeddings.npy", (0, 0))
    elsewhere = Nodes(Workspace(tmp_path / "other"))
    port = str(processes._free_port())
    running = nodes.start(2, [0], PET_MASTER_PORT=port) + elsewhere.start(2, [1], PET_MASTER_PORT=port)
    (first, _), (status, said) = nodes.end(running)
    assert (first, status) == (1, 3) and "nodes must share one workspace" in said, said


def test_more_nodes_than_the_rows_are_enough_for(workspace: Workspace, nodes: Nodes) -> None:
    write_vectors(vectors(300))
    for status, said in nodes.end(nodes.start(3)):
        assert status == 3 and "300 rows, dealt out by 256, are not enough for 3 processes; use fewer nodes" in said


@pytest.mark.parametrize(
    ("key", "value", "needed"),
    [
        ("method", "random", "k-center"),
        ("method", "clusters", "k-center"),
        ("parts", 2, "1"),
        ("quotas", {"Go": 1.0}, "{}"),
    ],
)
def test_what_nodes_cannot_choose_together_is_named(
    workspace: Workspace, nodes: Nodes, key: str, value: object, needed: str
) -> None:
    write_vectors(vectors(600))
    workspace.set(f"coreset.{key}", value)
    for status, said in nodes.end(nodes.start(2)):
        assert status == 3 and f"params.yaml: coreset.{key}: {value}" in said and f"set it to {needed}," in said, said
    assert not Path("data/coreset").exists()


def test_shards_and_nodes(workspace: Workspace) -> None:
    write_vectors(vectors(600))
    done = workspace.run("coreset --shard 0/2", PET_NNODES="2", PET_NODE_RANK="0", PET_MASTER_ADDR="127.0.0.1")
    assert done.returncode == 3 and "several nodes make one exact choice together; take the shards away" in done.stderr


def test_a_node_that_waits_for_the_others_hears_of_sigterm(workspace: Workspace, nodes: Nodes) -> None:
    write_vectors(vectors(600))
    for place in 0, 1:
        (waits,) = nodes.start(2, [place])
        until(lambda place=place: Path(f".tidemill/run/coreset.rank{place}.lock").exists())
        waits.send_signal(signal.SIGTERM)
        ((status, said),) = nodes.end([waits])
        assert status == 75, said
