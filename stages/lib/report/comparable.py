"""The run's figures as numbers, which travel in the page so that `make compare-runs` can set two runs side by side."""

from collections import Counter
from typing import Any

from stages.lib.report.evaluation import Comparison
from stages.lib.report.inputs import Run
from stages.lib.report.tables import Row

COUNT, SHARE, NUMBER = "count", "share", "number"


def figures(run: Run, facts: dict[str, Any]) -> dict[str, Any]:
    """`figures`: each with `name`, `value`, what it is (`as`), and for a share its counts; `mix`: rows by language and
    by task; `problems`: by model, the share of each problem's completions that passed; `models`, and all `parameters`
    of the run."""
    comparison: Comparison = facts["evaluation"].comparison
    return {
        "figures": [*_counts(facts), *_verdicts(facts), *_training(facts), *_examination(facts)],
        "mix": {name: dict(sorted(_mix(run, name).items())) for name in ("language", "task")},
        "problems": {
            model: {problem.task_id: getattr(problem, model).share for problem in comparison.problems}
            for model in ("base", "tuned")
        },
        "parameters": {path: artifact.params for path, artifact in run.artifacts.items()},
        "roots": {path: artifact.root for path, artifact in run.artifacts.items()},
    }


def _counts(facts: dict[str, Any]) -> list[Row]:
    counts = facts["counts"]
    names = {
        "functions": "functions collected",
        "corpus": "functions after the filter",
        "picks": "functions picked",
        "candidates": "candidates",
        "train": "training rows",
        "validation": "validation rows",
    }
    return [
        *(_figure(label, counts[name], COUNT) for name, label in names.items()),
        _figure("covering radius", facts["coverage"].radius, NUMBER),
    ]


def _verdicts(facts: dict[str, Any]) -> list[Row]:
    judged, trial = facts["judging"]["all"], facts["trial"]
    found = [
        _share("passed the checks", judged.stood, judged.total),
        _share("of these passed by the judge", judged.passed, judged.stood),
    ]
    if trial:
        both, alone = trial.totals["together"], trial.totals["judge"]
        found += [
            _share("planted faults caught", both["caught"], both["bad"]),
            _share("good instances failed", both["alarms"], both["good"]),
            _share("planted faults caught by the judge alone", alone["caught"], alone["bad"]),
            _share("good instances failed by the judge alone", alone["alarms"], alone["good"]),
        ]
    return found


def _training(facts: dict[str, Any]) -> list[Row]:
    trained = facts["training"]
    return [
        _figure("training loss, first", trained.first, NUMBER),
        _figure("training loss, last", trained.last, NUMBER),
        _figure("validation loss, last", trained.validation_last, NUMBER),
    ]


def _examination(facts: dict[str, Any]) -> list[Row]:
    examined = facts["evaluation"]
    return [
        {**_figure(f"pass@1, {name}", result.pass_at_1, SHARE), "model": name}
        for name, result in (("base", examined.base), ("tuned", examined.tuned))
    ]


def _share(name: str, hits: int, of: int) -> Row:
    return {**_figure(name, hits / of if of else None, SHARE), "hits": hits, "of": of}


def _figure(name: str, value: float | None, kind: str) -> Row:
    return {"name": name, "value": value, "as": kind}


def _mix(run: Run, name: str) -> Counter[str]:
    return Counter(value for split in ("train", "validation") for value in run.dataset_column(split, name))
