"""A small dataset and settings with which train tunes the tiny model in ten steps."""

import random
from pathlib import Path
from typing import Any

import pytest
from workspace import Workspace

from stages.lib import artifacts, records

WORDS = ["return", "value", "list", "index", "total", "name", "count", "print", "sorted", "result"]


def row(number: int, output: str | None = None) -> dict[str, Any]:
    words = random.Random(number)
    code = " ".join(words.choices(WORDS, k=words.randint(4, 20)))
    return {
        "id": f"{number:064x}",
        "instruction": f"Write a Python function, number {number}.",
        "input": "x = 1" if number % 2 else "",
        "output": code if output is None else output,
    }


def write_dataset(train: list[dict[str, Any]], validation: list[dict[str, Any]]) -> None:
    with artifacts.create("data/dataset", stage="assemble") as out:
        for name, rows in (("train", train), ("validation", validation)):
            if rows or name == "train":
                records.write_lines(out / f"{name}.jsonl", rows)


@pytest.fixture
def small(workspace: Workspace, tiny: Path) -> Workspace:
    prepare(workspace, tiny)
    return workspace


def prepare(workspace: Workspace, model: Path) -> None:
    """20 rows to train on for 10 steps, with dropout, a save after every second one."""
    write_dataset([row(number) for number in range(20)], [row(number) for number in range(20, 24)])
    for key, value in {
        "model": f"path:{model}",
        "epochs": 2,
        "batch_rows": 4,
        "micro_batch_rows": 2,
        "learning_rate": 1e-2,
        "save_steps": 2,
        "device": "cpu",
        "threads": 1,
        "lora.dropout": 0.1,
    }.items():
        workspace.set(f"train.{key}", value)


def run(workspace: Workspace) -> str:
    done = workspace.run("train")
    assert done.returncode == 0, done.stderr
    return str(artifacts.open("models/tuned").root)
