"""Writes examples/NAME from the finished run in this workspace."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands.replay import drawn, example, notice
from commands.replay.example import FOLDER, Run
from executors.tracking import clone, git
from stages.lib import artifacts, params
from stages.lib.errors import BadInput
from stages.lib.teacher import journal, sharing

TARGET = "assemble"
DATASET = Path("data/dataset")
# The artifacts that lead to a dataset, in the order in which they are made.
MADE = ("functions", "corpus", "embeddings", "coreset", "candidates", "verdicts", "dataset")
# Files of the run that cannot be made again to the last bit on another processor.
EMBEDDINGS = ("data/embeddings", "metrics/embed.json")
SPLITS = ("train.jsonl", "validation.jsonl")


def record(name: str) -> str:
    """Write examples/`name` and return what it holds. Raises `BadInput` for uncommitted changes to what runs, and where
    the dataset is not finished."""
    folder = FOLDER / name
    commit = git.committed("a replay would go without them", travels)
    roots = dict(_roots())
    if DATASET.as_posix() not in roots:
        raise BadInput(f"{DATASET} is not finished; run `dvc repro {TARGET}` first")
    for part in ("workspace", "journal", "dataset"):  # pages that people put beside them stay
        shutil.rmtree(folder / part, ignore_errors=True)
    _copy_workspace(folder / "workspace")
    count = _copy_answers(folder / "journal")
    _copy_dataset(folder / "dataset")
    example.write(folder, Run(commit=commit, target=TARGET, roots=roots))
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{folder}: {count} answers, {size / 1e6:.1f} MB; commit it"


def travels(line: str) -> bool:
    """Whether a line of `git status` names the params, which the example holds, an example, or what clones share. A new
    file among the code is none of these."""
    name = line[3:]
    return name in ("params.yaml", "profile.yaml") or name.startswith(f"{FOLDER}/") or clone.is_shared(line)


def _roots() -> Iterator[tuple[str, str]]:
    for kind in MADE:
        for seal in sorted(Path("data", kind).rglob(artifacts.SEAL)):
            yield seal.parent.as_posix(), artifacts.read_json(seal)["root"]


def _copy_workspace(to: Path) -> None:
    for name in ("params.yaml", "profile.yaml", *EMBEDDINGS):
        if Path(name).is_dir():
            shutil.copytree(name, to / name)
        elif Path(name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, to / name)


def _copy_answers(to: Path) -> int:
    """Seal the last answer to each request of generate and judge that one of today's models gave."""
    values = params.merged()
    models = {params.completed(values, section)["teacher"]["model"] for section in ("generate", "judge")}
    last: dict[str, dict[str, Any]] = {}
    for one in journal.records(journal.FOLDER / "exchanges.log"):
        if one and one["model"] in models and one["label"].startswith(("generate@", "judge@")):
            last[one["key"]] = one
    to.mkdir(parents=True)
    sharing.write(to, (journal.to_line(last[key]) for key in sorted(last)))
    return len(last)


def _copy_dataset(to: Path) -> None:
    to.mkdir(parents=True)
    for name in (*SPLITS, "README.md"):
        if (DATASET / name).is_file():
            shutil.copy(DATASET / name, to / name)
    splits = [DATASET / name for name in SPLITS]
    notice.write(to / "NOTICE", splits)
    drawn.write(to / "rows.md", splits)
