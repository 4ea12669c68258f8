"""Checkpoints: keyed by what made them, refused when a byte changed."""

import logging
from pathlib import Path

import pytest
from workspace import Workspace

from stages.lib import artifacts, checkpoint


def source(text: str) -> artifacts.Artifact:
    with artifacts.create("data/corpus", stage="filter") as out:
        (out / "rows.jsonl").write_text(text)
    return artifacts.open("data/corpus")


def save(where: Path, number: int) -> Path:
    path = where / f"checkpoint-{number}"
    path.mkdir()
    (path / "weights.bin").write_bytes(bytes([number]) * 1000)
    checkpoint.seal(path)
    return path


def test_the_key_holds_data_parameters_and_seed(workspace: Workspace) -> None:
    corpus = source("a\n")
    where = checkpoint.folder("train", [corpus], {"rank": 8}, 0)
    assert checkpoint.folder("train", [corpus], {"rank": 8}, 0) == where
    assert checkpoint.folder("train", [corpus], {"rank": 9}, 0) != where
    assert checkpoint.folder("train", [corpus], {"rank": 8}, 1) != where
    assert checkpoint.folder("train", [source("b\n")], {"rank": 8}, 0) != where


def test_the_newest_valid_save_is_taken_and_a_changed_one_refused_by_name(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    where = checkpoint.folder("train", [], {})
    assert checkpoint.newest(where) is None
    saves = [save(where, number) for number in (2, 9, 10)]
    assert checkpoint.newest(where) == saves[2]
    weights = bytearray((saves[2] / "weights.bin").read_bytes())
    weights[500] ^= 1
    (saves[2] / "weights.bin").write_bytes(weights)
    with caplog.at_level(logging.WARNING):
        assert checkpoint.newest(where) == saves[1]
    assert "checkpoint-10" in caplog.text
    assert "weights.bin was changed" in caplog.text


def test_a_save_without_its_seal_never_counts(workspace: Workspace) -> None:
    where = checkpoint.folder("train", [], {})
    first = save(where, 1)
    (save(where, 2) / checkpoint.SEAL).unlink()
    (save(where, 3) / checkpoint.SEAL).write_text('{"files": ')
    assert checkpoint.newest(where) == first
    checkpoint.discard(where)
    assert checkpoint.newest(where) is None
