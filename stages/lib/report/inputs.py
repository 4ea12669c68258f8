"""The reported run: its verified artifacts and its metrics."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stages.lib import artifacts
from stages.lib.artifacts import Artifact
from stages.lib.errors import BadInput
from stages.lib.report import tables
from stages.lib.report.tables import Row

VERDICTS, CANDIDATES = "data/verdicts/", "data/candidates/"
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Run:
    """Artifacts by path, in pipeline order, and each stage's metrics."""

    artifacts: dict[str, Artifact]
    metrics: dict[str, dict[str, Any]]
    rounds: list[str]

    def __getitem__(self, path: str) -> Artifact:
        return self.artifacts[path]

    @cached_property
    def verdicts(self) -> list[Row]:
        """Every round's candidates with their verdicts."""
        return [row for key in self.rounds for row in tables.read(self[VERDICTS + key], "verdicts.parquet")]

    @cached_property
    def split_of(self) -> dict[str, str]:
        """The split of each dataset row, by id."""
        return {id: split for split in SPLITS for id in self.dataset_column(split, "id")}

    @cached_property
    def dropped_by(self) -> dict[str, str]:
        """The rule by which assemble dropped a row, by id."""
        dataset, file = self["data/dataset"], "dropped.parquet"
        if not dataset.has(file):
            return {}
        return dict(zip(tables.column(dataset, file, "id"), tables.column(dataset, file, "rule"), strict=True))

    def dataset_column(self, split: str, name: str) -> list[Any]:
        """One column of a split of the dataset; a split without rows has no file."""
        dataset, file = self["data/dataset"], f"{split}.parquet"
        return tables.column(dataset, file, name) if dataset.has(file) else []

    def splits(self) -> Counter[str]:
        """The rows of each split."""
        return Counter(self.split_of.values())


def load() -> Run:
    """Verify and open every artifact. Raises `artifacts.Damaged` for the first that differs from its seal."""
    dataset = artifacts.open("data/dataset")
    rounds = [entry["name"].removeprefix(VERDICTS) for entry in dataset.inputs if entry["name"].startswith(VERDICTS)]
    paths = [
        *("data/functions", "data/corpus", "data/embeddings", "data/coreset"),
        *(f"{folder}{key}" for key in rounds for folder in (CANDIDATES, VERDICTS)),
        *("data/dataset", "models/tuned"),
        *(f"data/{kind}/{model}" for model in ("base", "tuned") for kind in ("completions", "scores")),
    ]
    opened = {path: artifacts.open(path) for path in paths}
    names = ["filter", "coreset", "assemble", "measure", "score-base", "score-tuned"]
    return Run(opened, {name: read_metrics(name) for name in names}, rounds)


def read_metrics(stage: str) -> dict[str, Any]:
    """metrics/STAGE.json. Raises `BadInput` if it is missing or not a JSON object."""
    file = Path("metrics") / f"{stage}.json"
    advice = f"run `dvc repro --force {stage.replace('-', '@')}`"
    try:
        values = artifacts.read_json(file)
    except FileNotFoundError:
        raise BadInput(f"{file} is missing; {advice}") from None
    except ValueError as error:
        raise BadInput(f"{file} is not JSON ({error}); {advice}") from None
    if not isinstance(values, dict):
        raise BadInput(f"{file} is not a JSON object; {advice}")
    return values
