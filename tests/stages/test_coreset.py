"""The stage coreset, run as `dvc` runs it."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from corpora import write_vectors
from workspace import Workspace

from stages.lib import artifacts


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((600, 32)).astype(np.float16)


def test_the_artifact_holds_the_order_and_the_curve(workspace: Workspace, vectors: np.ndarray) -> None:
    write_vectors(vectors)
    workspace.set("coreset.k", 48)
    result = workspace.run("coreset")
    assert result.returncode == 0, result.stderr
    table = pq.read_table("data/coreset/coreset.parquet").to_pydict()
    chosen = vectors[table["row"]].astype(float)
    for order in range(1, 48):
        to_earlier = np.linalg.norm(chosen[:order] - chosen[order], axis=1).min()
        assert table["distance"][order] == pytest.approx(to_earlier)
        assert table["radius"][order - 1] == table["distance"][order]
    metrics = json.loads((workspace.path / "metrics/coreset.json").read_text())
    assert metrics["k"] == 48 and metrics["rows"] == 600 and metrics["dimension"] == 32


@pytest.mark.parametrize("method", ["k-center", "random", "clusters"])
def test_a_corpus_smaller_than_k_is_taken_whole(workspace: Workspace, vectors: np.ndarray, method: str) -> None:
    write_vectors(vectors[:30])
    workspace.set("coreset.method", method)
    result = workspace.run("coreset")
    assert result.returncode == 0, result.stderr
    assert "coreset.k is 160, but the corpus has only 30 functions; taking them all" in result.stderr
    assert sorted(pq.read_table("data/coreset/coreset.parquet")["row"].to_pylist()) == list(range(30))


def test_embeddings_of_another_corpus_are_refused(workspace: Workspace, vectors: np.ndarray) -> None:
    write_vectors(vectors, corpus_rows=599)
    result = workspace.run("coreset")
    assert result.returncode == 3
    assert "600 rows but data/corpus has 599" in result.stderr


def test_stopped_it_saves_and_goes_on_to_the_same_bytes(workspace: Workspace) -> None:
    write_vectors(np.random.default_rng(2).standard_normal((12000, 48)).astype(np.float16))
    workspace.set("coreset.k", 6000)
    stage = workspace.start("coreset")
    while not list(Path(".tidemill/checkpoints/coreset").glob("*")) and stage.poll() is None:
        time.sleep(0.005)
    stage.send_signal(signal.SIGTERM)
    assert stage.wait(120) == 75, stage.stdout and stage.stdout.read()
    assert not Path("data/coreset").exists()
    resumed = workspace.run("coreset")
    assert resumed.returncode == 0 and "resuming after" in resumed.stderr, resumed.stderr
    root = artifacts.open("data/coreset").root
    assert not list(Path(".tidemill/checkpoints/coreset").glob("*/shard*"))
    workspace.run("coreset")  # undisturbed
    assert artifacts.open("data/coreset").root == root


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("k", 0, "coreset.k"),
        ("method", "median", "coreset.method"),
        ("first", "median", "coreset.first"),
        ("device", "gpu", "cupy finds no GPU"),
        ("quotas", {"Python": 50, "Perl": 50}, "coreset.quotas: the corpus has no Perl; it has Go, Java, Python"),
        ("quotas", {"Python": 0}, "coreset.quotas.Python"),
        ("parts", 0, "coreset.parts"),
    ],
)
def test_bad_parameters_are_named(
    workspace: Workspace, vectors: np.ndarray, key: str, value: object, message: str
) -> None:
    write_vectors(vectors)
    workspace.set(f"coreset.{key}", value)
    result = workspace.run("coreset", CUDA_VISIBLE_DEVICES="")
    assert result.returncode == 3 and message in result.stderr
    assert not Path("data/coreset").exists()


def test_a_radius_ends_the_choice_at_a_prefix_of_the_longer_one(workspace: Workspace, vectors: np.ndarray) -> None:
    write_vectors(vectors)
    workspace.set("coreset.k", 200)
    assert workspace.run("coreset").returncode == 0
    longer = pq.read_table("data/coreset/coreset.parquet").to_pydict()
    workspace.set("coreset.radius", longer["radius"][79])
    assert workspace.run("coreset").returncode == 0
    shorter = pq.read_table("data/coreset/coreset.parquet").to_pydict()
    assert shorter["row"] == longer["row"][: len(shorter["row"])]
    assert len(shorter["row"]) <= 80 and shorter["radius"][-1] <= longer["radius"][79]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "clusters"])
def test_the_other_choices_write_the_same_records_with_the_true_radii(
    workspace: Workspace, vectors: np.ndarray, method: str
) -> None:
    write_vectors(vectors)
    workspace.set("coreset.k", 40)
    workspace.set("coreset.method", method)
    roots = []
    for _ in range(2):
        result = workspace.run("coreset")
        assert result.returncode == 0, result.stderr
        roots.append(artifacts.open("data/coreset").root)
    assert roots[0] == roots[1]
    table = pq.read_table("data/coreset/coreset.parquet").to_pydict()
    assert len(set(table["row"])) == 40 and table["order"] == list(range(40))
    between = np.linalg.norm(vectors[:, None].astype(float) - vectors[table["row"]][None].astype(float), axis=2)
    assert table["radius"] == pytest.approx(np.minimum.accumulate(between, axis=1).max(axis=0))
    earlier = [between[table["row"][order], :order].min() for order in range(1, 40)]
    assert table["distance"][0] is None and table["distance"][1:] == pytest.approx(earlier)
    metrics = json.loads((workspace.path / "metrics/coreset.json").read_text())
    assert metrics["optimum_at_least"] is None and metrics["radius_last"] == table["radius"][-1]


def test_clusters_take_one_row_of_each_group(workspace: Workspace) -> None:
    centres = 20 * np.eye(12, dtype=np.float16)
    noise = np.random.default_rng(3).standard_normal((12, 30, 12)).astype(np.float16) / 4
    write_vectors((centres[:, None] + noise).reshape(-1, 12))
    workspace.set("coreset.k", 12)
    workspace.set("coreset.method", "clusters")
    assert workspace.run("coreset").returncode == 0
    rows = pq.read_table("data/coreset/coreset.parquet")["row"].to_pylist()
    assert {row // 30 for row in rows} == set(range(12))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "clusters"])
def test_copies_of_one_row_are_still_different_rows(workspace: Workspace, method: str) -> None:
    write_vectors(np.repeat(np.eye(4, dtype=np.float16), 5, axis=0))
    workspace.set("coreset.k", 18)
    workspace.set("coreset.method", method)
    result = workspace.run("coreset")
    assert result.returncode == 0, result.stderr
    assert len(set(pq.read_table("data/coreset/coreset.parquet")["row"].to_pylist())) == 18


def test_quotas_hold_in_every_beginning(workspace: Workspace, vectors: np.ndarray) -> None:
    write_vectors(vectors)
    workspace.set("coreset.k", 60)
    workspace.set("coreset.quotas", {"Python": 3, "Go": 1})
    assert workspace.run("coreset").returncode == 0
    chosen = pq.read_table("data/coreset/coreset.parquet").to_pydict()["language"]
    assert all(abs(chosen[:size].count("Python") - 0.75 * size) < 1.5 for size in range(1, 61)) and len(chosen) == 60
    metrics = json.loads(Path("metrics/coreset.json").read_text())
    assert metrics["centres_by_language"] == {"Go": 15, "Java": 0, "Python": 45}
    assert metrics["optimum_at_least"] is None and metrics["radius_within"].keys() == {"Go", "Python"}


def test_what_does_not_go_together_is_named(workspace: Workspace, vectors: np.ndarray) -> None:
    write_vectors(vectors)
    refused = workspace.run("coreset --shard 0/2")
    assert refused.returncode == 3 and "set coreset.parts or coreset.quotas" in refused.stderr
    workspace.set("coreset.parts", 2)
    workspace.set("coreset.quotas", {"Go": 1})
    refused = workspace.run("coreset")
    assert refused.returncode == 3 and "quotas and parts do not go together" in refused.stderr
    workspace.set("coreset.quotas", {})
    workspace.set("coreset.method", "random")
    refused = workspace.run("coreset")
    assert refused.returncode == 3 and "quotas and parts are for method k-center; found random" in refused.stderr


def test_killed_between_two_parts_it_goes_on_to_the_same_bytes(workspace: Workspace) -> None:
    write_vectors(np.random.default_rng(2).standard_normal((12000, 48)).astype(np.float16))
    workspace.set("coreset.k", 2000)
    workspace.set("coreset.parts", 3)
    assert workspace.run("coreset").returncode == 0
    root = artifacts.open("data/coreset").root
    assert workspace.stop("coreset", "chose piece 2 of 3", signal.SIGKILL) == -signal.SIGKILL
    resumed = workspace.run("coreset")
    assert resumed.returncode == 0, resumed.stderr
    assert "chose piece 1 of 3" not in resumed.stderr and "chose piece 3 of 3" in resumed.stderr
    assert artifacts.open("data/coreset").root == root
