"""An experiment's results, read from its commit and DVC's cache; nothing else is kept of a run."""

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from commands.ablate.matrix import Matrix
from executors.tracking.clone import Clone
from stages.lib import statistics
from stages.lib.artifacts import SEAL
from stages.lib.measures import registry
from stages.lib.training import held_out

MODELS = ("tuned", "base")
HELD_OUT = f"models/tuned/{held_out.FILE}"


@dataclass(frozen=True)
class Score:
    """One model on one benchmark: each problem's share of passed samples, pass@1 and its bootstrap 95% interval over
    problems."""

    benchmark: str
    slice: str
    shares: dict[str, float]
    samples: int
    pass_at_1: float
    low: float
    high: float
    seeds: tuple[float, ...] = ()  # pass@1 with each seed, where the run was repeated

    @property
    def comparable(self) -> tuple[str, frozenset[str]]:
        """Benchmark and problems; only scores that agree in both are compared."""
        return self.benchmark, frozenset(self.shares)


@dataclass(frozen=True)
class Result:
    """One run: experiment, commit, params, each stage's metrics, the root hash of each artifact, scores and losses."""

    name: str
    experiment: str
    commit: str
    overrides: dict[str, Any]
    params: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    roots: dict[str, str]
    scores: dict[str, Score]
    losses: dict[str, float]  # the tuned model's on each held-out row, by row id
    seed_losses: tuple[dict[str, float], ...] = ()  # the same with each seed, where the run was repeated

    def figure(self, path: str) -> float | None:
        """A figure of metrics/measure.json by its path; None if the run does not have it. Of a run that ends with train
        there is `rows.train` alone."""
        value: Any = self.metrics.get("measure") or {"rows": {"train": self._rows_of_train()}}
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return None if isinstance(value, dict) else value

    def interval(self, path: str) -> list[float] | None:
        """The 95% interval next to a figure that is a share of few; None for others."""
        *parents, leaf = path.split(".")
        value: Any = self.metrics.get("measure", {})
        for part in [*parents, f"{leaf}_95"]:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def _rows_of_train(self) -> int | None:
        told = self.metrics.get("train")
        return told["rows"] + told["rows_set_aside"] if told else None


def read(matrix: Matrix, clone: Clone) -> list[Result]:
    """The finished runs of `matrix`, in its order."""
    found = [(run, clone.find(matrix.experiment(run))) for run in matrix.runs]
    return [_read(matrix, run, commit, clone) for run, commit in found if commit]


def _read(matrix: Matrix, run: str, commit: str, clone: Clone) -> Result:
    from ruamel.yaml import YAML

    with clone.files(commit) as files:
        locked = [out for out in files.outs if files.exists(out)]
        params = dict(YAML(typ="safe", pure=True).load(files.text("params.yaml")))
        metrics = {
            Path(out).stem: json.loads(files.text(out))
            for out in locked
            if out.startswith("metrics/") and out.endswith(".json")
        }
        seals = {out: f"{out}/{SEAL}" for out in locked if files.exists(f"{out}/{SEAL}")}
        roots = {out: json.loads(files.text(seal))["root"] for out, seal in seals.items()}
        benchmark = params.get("sample", {}).get("benchmark", "")
        scores = {}
        for model in MODELS:
            if f"data/scores/{model}" in locked:
                rows = files.rows(f"data/scores/{model}/scores.parquet")
                scores[model] = score(rows, benchmark, metrics[f"score-{model}"]["slice"])
        losses = _losses(files) if "models/tuned" in locked else {}
    overrides = matrix.runs[run]
    return Result(run, matrix.experiment(run), commit, overrides, params, metrics, roots, scores, losses)


def _losses(files: Any) -> dict[str, float]:
    """The losses that `train` wrote row by row; none where the model was shared among devices."""
    if not files.exists(HELD_OUT):
        return {}
    rows = [json.loads(line) for line in files.text(HELD_OUT).splitlines()]
    return {row["id"]: row["loss"] for row in rows}


def score(rows: list[dict[str, Any]], benchmark: str, slice: str) -> Score:
    """Rows of `records.SCORE` as a Score."""
    passed: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        passed[row["task_id"]].append(row["verdict"] == "passed")
    shares = {task: sum(marks) / len(marks) for task, marks in sorted(passed.items())}
    return _summed_up(benchmark, slice, shares, samples=max(len(marks) for marks in passed.values()))


def average(matrix: Matrix, found: list[Result]) -> list[Result]:
    """One result for each run: of its repetitions the first one's dataset, and every problem's mean over all."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for one in found:
        groups[matrix.repeats.get(one.name, one.name)].append(one)
    return [_averaged(name, of) for name, of in groups.items()]


def _averaged(name: str, repeated: list[Result]) -> Result:
    seeds = tuple(one.losses for one in repeated) if len(repeated) > 1 else ()
    scores, losses = _mean_scores(repeated), _mean_losses(repeated)
    return replace(repeated[0], name=name, scores=scores, losses=losses, seed_losses=seeds)


def _mean_scores(repeated: list[Result]) -> dict[str, Score]:
    return {
        model: _mean([one.scores[model] for one in repeated])
        for model in MODELS
        if all(model in one.scores for one in repeated)
    }


def _mean_losses(repeated: list[Result]) -> dict[str, float]:
    """Each row's mean over the repetitions that were all tested on it."""
    shared = set.intersection(*(set(one.losses) for one in repeated))
    return {row: mean([one.losses[row] for one in repeated]) for row in sorted(shared)}


def _mean(scores: list[Score]) -> Score:
    """The mean of scores on the same problems, such as those of three seeds."""
    first = scores[0]
    if len(scores) == 1:
        return first
    shares = {task: mean([one.shares[task] for one in scores]) for task in first.shares}
    seeds = tuple(one.pass_at_1 for one in scores)
    return _summed_up(first.benchmark, first.slice, shares, sum(one.samples for one in scores), seeds)


def _summed_up(
    benchmark: str, slice: str, shares: dict[str, float], samples: int, seeds: tuple[float, ...] = ()
) -> Score:
    low, high = statistics.bootstrap(list(shares.values()))
    return Score(benchmark, slice, shares, samples, mean(list(shares.values())), low, high, seeds)


def figures(names: list[str]) -> list[dict[str, Any]]:
    """The catalogue entries of these figures, with their paths."""
    return [{"path": name, **registry.read()["figures"][name]} for name in names]
