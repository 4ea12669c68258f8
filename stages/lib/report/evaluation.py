"""Before and after, problem by problem."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.lib.report import tables
from stages.lib.report.inputs import Run
from stages.lib.report.rendering import percent, plural
from stages.lib.report.tables import Row
from stages.lib.statistics import sign_test

SHOWN = 4  # problems whose completions the page shows, changed ones first


@dataclass
class Side:
    """One model's completions of one problem, counted by verdict."""

    verdicts: Counter[str] = field(default_factory=Counter)

    @property
    def passed(self) -> int:
        """How many completions passed."""
        return self.verdicts["passed"]

    @property
    def total(self) -> int:
        """How many completions there are."""
        return self.verdicts.total()

    @property
    def share(self) -> float:
        """The share that passed."""
        return self.passed / self.total if self.total else 0.0


@dataclass
class Problem:
    """One problem, answered by both models."""

    task_id: str
    base: Side = field(default_factory=Side)
    tuned: Side = field(default_factory=Side)


@dataclass
class Comparison:
    """All problems, those whose result changed, and whether that could be chance."""

    problems: list[Problem]

    @property
    def gained(self) -> list[Problem]:
        """Problems the tuned model passes more often."""
        return [problem for problem in self.problems if problem.tuned.share > problem.base.share]

    @property
    def lost(self) -> list[Problem]:
        """Problems the base model passes more often."""
        return [problem for problem in self.problems if problem.tuned.share < problem.base.share]

    @property
    def moved(self) -> list[Problem]:
        """Gained and lost."""
        return [*self.gained, *self.lost]

    @property
    def chance(self) -> float:
        """The p value of the sign test."""
        return sign_test(len(self.gained), len(self.lost))


@dataclass(frozen=True)
class Result:
    """One model's pass@k from its metrics, with the counts and interval behind pass@1."""

    pass_at: dict[str, float]
    passed: int
    completions: int
    forged: int
    problems: int
    low: float
    high: float

    @property
    def pass_at_1(self) -> float:
        """The share of completions that pass, over all problems."""
        return self.pass_at["pass@1"]

    @property
    def counts(self) -> str:
        """The counts and the interval, in words."""
        interval = f"95% interval {percent(self.low)} to {percent(self.high)}"
        return f"{self.passed} of {plural(self.completions, 'completion')}, {interval}"


@dataclass(frozen=True)
class Evaluation:
    """Both models on the same problems."""

    base: Result
    tuned: Result
    comparison: Comparison
    slice: str
    written: list[Row]

    @property
    def judgement(self) -> str:
        """What the difference means, in a sentence or two."""
        gained, lost = len(self.comparison.gained), len(self.comparison.lost)
        problems = plural(len(self.comparison.problems), "problem")
        if not gained and not lost:
            return f"The tuned model passes each of the {problems} exactly as often as the base model: no difference."
        moves = f"Of {problems}, tuning improved {gained} and worsened {lost}"
        chance = self.comparison.chance
        if chance < 0.05:
            return f"{moves}; a split this uneven is unlikely to be chance (sign test, p = {chance:.2g})."
        return f"{moves}. That can be chance (sign test, p = {chance:.2g}), so it shows no difference."


def read(run: Run) -> Evaluation:
    """From both models' scores, their metrics, and the completions' parameters."""
    rows = {model: tables.read(run[f"data/scores/{model}"], "scores.parquet") for model in ("base", "tuned")}
    comparison = compare(rows["base"], rows["tuned"])
    results = {
        model: _result(run.metrics[f"score-{model}"], [getattr(problem, model) for problem in comparison.problems])
        for model in rows
    }
    shown = [*comparison.moved, *(problem for problem in comparison.problems if problem not in comparison.moved)]
    return Evaluation(
        base=results["base"],
        tuned=results["tuned"],
        comparison=comparison,
        slice=_slice(run),
        written=[_written(run, problem.task_id, rows) for problem in shown[:SHOWN]],
    )


def _written(run: Run, task_id: str, scores: dict[str, list[Row]]) -> Row:
    """The prompt of a problem, and the first completion of each model with its verdict."""
    found: Row = {"task_id": task_id}
    for model, rows in scores.items():
        file = run[f"data/completions/{model}"].file("completions.parquet")
        first = (pc.field("task_id") == task_id) & (pc.field("sample") == 0)
        [completion] = pq.read_table(file, filters=first).to_pylist()
        score = next(row for row in rows if (row["task_id"], row["sample"]) == (task_id, 0))
        found["prompt"] = completion["prompt"]
        found[model] = {"completion": completion["completion"], **score}
    return found


def _result(metrics: Row, sides: list[Side]) -> Result:
    pass_at = {name: value for name, value in metrics.items() if re.fullmatch(r"pass@\d+", name)}
    low, high = metrics["pass@1_wilson_95"]
    passed, completions = sum(side.passed for side in sides), sum(side.total for side in sides)
    forged = sum(side.verdicts["forged"] for side in sides)
    return Result(pass_at, passed, completions, forged, len(sides), low, high)


def _slice(run: Run) -> str:
    """What both models were asked, and how."""
    asked, slice = run["data/completions/base"].params, run.metrics["score-base"]["slice"]
    drawn = asked["temperature"]
    how = "at the server's temperature" if drawn is None else f"at temperature {drawn:g}" if drawn else "greedy"
    each = plural(asked["samples"], "completion")
    return f"{slice[:1].upper()}{slice[1:]}: {each} each, {how}, of at most {asked['max_new_tokens']} tokens"


def compare(base: Iterable[Row], tuned: Iterable[Row]) -> Comparison:
    """Rows of `records.SCORE` of both models, by problem, in the order of the problems' numbers."""
    problems: dict[str, Problem] = {}
    for name, rows in (("base", base), ("tuned", tuned)):
        for row in rows:
            problem = problems.setdefault(row["task_id"], Problem(row["task_id"]))
            getattr(problem, name).verdicts[row["verdict"]] += 1
    return Comparison(sorted(problems.values(), key=lambda problem: _number(problem.task_id)))


def _number(task_id: str) -> tuple[int, str]:
    last = task_id.rpartition("/")[2]
    return (int(last) if last.isdigit() else 0, task_id)
