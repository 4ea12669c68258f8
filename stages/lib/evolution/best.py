"""The result of an evolution: dataset and model of the best round, under one path each."""

import shutil
from pathlib import Path

from stages.lib import artifacts, records
from stages.lib.evolution import rounds
from stages.lib.evolution.configuration import Rounds

DATASET, MODEL = "data/evolved-best", "models/evolved-best"


def parts(number: int) -> list[str]:
    """A round's artifacts, each made from the one before."""
    kinds = "data/evolved", "models/evolved", "data/completions/evolved", "data/scores/evolved"
    return [f"{kind}/{number}" for kind in kinds]


def score(number: int) -> float:
    """The pass@1 of round `number`, from its verified scores."""
    found = artifacts.open(parts(number)[-1])
    return rounds.pass_at_1(records.read(found.file("scores.parquet"), records.SCORE).to_pylist())


def write(knobs: Rounds) -> None:
    """Replay the decisions round by round, verify every artifact, and copy the best round's dataset and model. Rounds
    after the last one are ignored.

    Raises `artifacts.Damaged` for an artifact that is missing, damaged, or not made from the one before.
    """
    opened: list[artifacts.Artifact] = []
    scores: list[float] = []
    while True:
        opened += [artifacts.open(path) for path in parts(len(scores))]
        scores.append(score(len(scores)))
        decision = rounds.decide(scores, knobs.rounds)
        if decision.over:
            break
    result = {"best": decision.best, "pass_at_1": scores, "why": decision.why}
    recorded = {**result, "validation": knobs.validation.result}
    for path, source in zip((DATASET, MODEL), parts(decision.best), strict=False):
        with artifacts.create(path, stage="evolve@best", inputs=opened, params=recorded) as out:
            shutil.copytree(source, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(artifacts.SEAL))
    files = [Path(DATASET) / f"{name}.jsonl" for name in ("train", "validation")]
    rows = sum(len(records.read_lines(file)) for file in files if file.is_file())
    artifacts.write_metrics("evolve@best", {**result, "rows": rows})
