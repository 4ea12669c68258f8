"""Makes an example again, in a clone of its commit, from its journal alone."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from commands.replay.example import Example
from executors.tracking import clone as clones
from stages.lib import artifacts
from stages.lib.errors import BadInput
from stages.lib.teacher.client import ANSWERS
from stages.lib.teacher.journal import FOLDER as JOURNAL
from stages.lib.teacher.sharing import SHARED

ROOT = Path(".tidemill/replay")
EMBEDDINGS = "data/embeddings"


def run(example: Example) -> str:
    """Replay `example` and return what came out. Raises `BadInput` for an artifact that differs from the published one,
    naming the first."""
    began = time.monotonic()
    clone = clones.prepare(ROOT / example.name, example.run.commit, own=clones.OWN | {JOURNAL.name})
    lay_over(example, clone.path)
    if (example.workspace / EMBEDDINGS).is_dir():
        _dvc(clone.path, "repro", "filter")
        shutil.copytree(example.workspace, clone.path, dirs_exist_ok=True)
        _dvc(clone.path, "commit", "--force", "--quiet", "embed")
    _dvc(clone.path, "repro", example.run.target)
    compare(example, clone.path)
    made = list(example.run.roots)[-1]
    minutes = (time.monotonic() - began) / 60
    return (
        f"{clone.path / made}: {example.run.roots[made]}, as published; made in {minutes:.1f} minutes without asking a "
        "model"
    )


def lay_over(example: Example, workspace: Path) -> None:
    """Put the example's params and answers into the clone; its embeddings come later, when their corpus is there."""
    for file in sorted(example.workspace.rglob("*.yaml")):
        shutil.copy(file, workspace / file.relative_to(example.workspace))
    shared = workspace / JOURNAL / SHARED
    shared.mkdir(parents=True, exist_ok=True)
    for segment in example.journal.iterdir():
        shutil.copy(segment, shared)


def compare(example: Example, workspace: Path) -> None:
    """Raise `BadInput` unless every artifact has its published root hash."""
    for path, root in example.run.roots.items():
        found = artifacts.read_json(workspace / path / artifacts.SEAL)["root"]
        if found != root:
            raise BadInput(f"{workspace / path} differs from the published one: {found} instead of {root}")


def _dvc(where: Path, *words: str) -> None:
    done = subprocess.run([clones.dvc(), *words], cwd=where, env={**os.environ, ANSWERS: "journal"}, check=False)
    if done.returncode:
        raise BadInput(f"dvc {' '.join(words)} failed in {where}; what it said is above")
