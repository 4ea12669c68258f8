"""The top of the page: what was run, the headline numbers, and what was not checked."""

from typing import Any

from stages.lib.report import tables
from stages.lib.report.inputs import CANDIDATES, VERDICTS, Run
from stages.lib.report.judging import Trial
from stages.lib.report.rendering import number, percent, plural
from stages.lib.report.training import Training

Facts = dict[str, Any]


def about(run: Run) -> Facts:
    """The models and sources of the run, from the parameters in the seals."""
    first = run.rounds[0]
    return {
        "sources": len(tables.count(run["data/functions"], "functions.parquet", "source")),
        "rounds": len(run.rounds),
        "foreign": run[CANDIDATES + first].params.get("foreign"),
        "encoder": run["data/embeddings"].params["encoder"],
        "teacher": run[CANDIDATES + first].params["teacher"]["model"],
        "judge": run[VERDICTS + first].params["teacher"]["model"],
        "base_model": run["data/completions/base"].params["model"],
    }


def count(run: Run) -> dict[str, int]:
    """Row counts used in several sections."""
    return {
        "functions": tables.rows_in(run["data/functions"], "functions.parquet"),
        "corpus": tables.rows_in(run["data/corpus"], "corpus.parquet"),
        "picks": tables.rows_in(run["data/coreset"], "coreset.parquet"),
        "candidates": len(run.verdicts),
        "train": run.splits()["train"],
        "validation": run.splits()["validation"],
    }


def numbers(facts: Facts) -> list[tuple[str, str, str]]:
    """Label, value and note of each headline number."""
    counts, judged, covered = facts["counts"], facts["judging"]["all"], facts["coverage"]
    trained, examined = facts["training"], facts["evaluation"]
    return [
        ("functions collected", number(counts["functions"]), f"{number(counts['corpus'])} after the filter"),
        ("functions picked", number(counts["picks"]), "spread over the corpus"),
        (
            "covering radius",
            number(covered.radius),
            f"no selection can get below {number(covered.bound)}" if covered.bound else "",
        ),
        ("passed the checks", f"{judged.stood} of {judged.total}", f"{percent(judged.checks_share)} of the candidates"),
        ("passed by the judge", f"{judged.passed} of these {judged.stood}", percent(judged.judge_share)),
        *_trial_numbers(facts["trial"]),
        _training_rows(counts, trained),
        ("training loss", f"{trained.first:.3f} → {trained.last:.3f}", "first and last step"),
        ("pass@1, base", percent(examined.base.pass_at_1), examined.base.counts),
        ("pass@1, tuned", percent(examined.tuned.pass_at_1), examined.tuned.counts),
    ]


def _training_rows(counts: dict[str, int], trained: Training) -> tuple[str, str, str]:
    if trained.own_file:
        return "training rows", number(trained.own_rows["train"]), f"of {trained.own_file}, not of this dataset"
    return "training rows", number(counts["train"]), plural(counts["validation"], "row") + " for validation"


def _own_rows(trained: Training) -> str:
    rows = trained.own_rows
    return f"{plural(rows['train'], 'row')} of {trained.own_file}, {number(rows['validation'])} for validation"


def summary(facts: Facts) -> list[tuple[str, str]]:
    """The lines of summary.txt, which `make` prints at the end."""
    judged, covered, trained = facts["judging"]["all"], facts["coverage"], facts["training"]
    examined, counts = facts["evaluation"], facts["counts"]
    rows = [(step.stage, f"{number(step.rows_out)} of {number(step.rows_in)} {step.unit}") for step in facts["funnel"]]
    results = [
        (f"pass@1, {name}", f"{percent(result.pass_at_1)} ({result.counts})")
        for name, result in (("base", examined.base), ("tuned", examined.tuned))
    ]
    return [
        *rows,
        ("dataset", f"{plural(counts['train'], 'training row')}, {number(counts['validation'])} for validation"),
        *([("trained on", _own_rows(trained))] if trained.own_file else []),
        ("checks", f"{judged.stood} of {judged.total} candidates passed ({percent(judged.checks_share)})"),
        ("judge", f"{judged.passed} of these {judged.stood} passed ({percent(judged.judge_share)})"),
        ("judge on trial", _trial_line(facts["trial"])),
        ("covering radius", f"{number(covered.radius)} after {plural(covered.picks, 'pick')}"),
        ("training loss", f"{trained.first:.3f} first, {trained.last:.3f} last"),
        *results,
        ("report", "report/index.html"),
    ]


def on_trial(trial: Trial | None) -> str:
    """One sentence: how far the verdicts can be believed, by the audit."""
    if trial is None:
        return (
            "The judge was not put on trial in this run (judge.audit in params.yaml plants nothing), so nobody knows "
            "how many bad rows it passes."
        )
    both, judge = trial.totals["together"], trial.totals["judge"]
    alone = (
        f"caught {_rate(judge, 'recall')} and failed {_rate(judge, 'false_alarms')}: {judge['shows']}"
        if judge["bad"] or judge["good"]
        else "ruled on none of them"
    )
    return (
        f"On trial, checks and judge together caught {_rate(both, 'recall')} planted faults and failed "
        f"{_rate(both, 'false_alarms')} good instances; the judge alone {alone}. (In brackets: 95% intervals.)"
    )


def _rate(row: Facts, share: str) -> str:
    hits, of = {"recall": ("caught", "bad"), "false_alarms": ("alarms", "good")}[share]
    bounds = row[f"{share}_95"]
    return f"{row[hits]} of {row[of]}" + (f" ({bounds[0]:.0%} to {bounds[1]:.0%})" if bounds else "")


def _trial_numbers(trial: Trial | None) -> list[tuple[str, str, str]]:
    if trial is None:
        return [("planted faults caught", "not tried", "the judge was not put on trial")]
    both, judge = trial.totals["together"], trial.totals["judge"]
    return [
        (
            "planted faults caught",
            f"{both['caught']} of {both['bad']}",
            f"the judge alone {judge['caught']} of {judge['bad']}",
        ),
        (
            "good instances failed",
            f"{both['alarms']} of {both['good']}",
            f"by the judge alone {judge['alarms']} of {judge['good']}",
        ),
    ]


def _trial_line(trial: Trial | None) -> str:
    if trial is None:
        return "not held; nobody knows how many bad rows it passes"
    both, judge = trial.totals["together"], trial.totals["judge"]
    return (
        f"{both['caught']} of {both['bad']} planted faults caught, {both['alarms']} of {both['good']} good ones "
        f"failed; the judge alone {judge['caught']} of {judge['bad']} and {judge['alarms']} of {judge['good']}"
    )


def unchecked(run: Run) -> list[str]:
    """What this run did not do, one sentence each."""
    found = []
    if absent := run.metrics["filter"]["benchmarks_not_checked"]:
        found.append(
            f"Contamination with {', '.join(absent)}: their files are not on this machine, so rows that repeat their "
            "tasks went undetected."
        )
    if not run.metrics["filter"]["benchmarks_checked"]:
        found.append("No benchmark was checked for contamination.")
    if unlicensed := sum(not name for name in tables.column(run["data/corpus"], "corpus.parquet", "license")):
        found.append(f"The licence of {plural(unlicensed, 'function')} of the corpus is unknown.")
    if not run.splits()["validation"]:
        found.append("Validation loss: the dataset has no held-out rows.")
    if not (asked := run.metrics["score-base"]["slice"]).startswith("all "):
        found.append(f"The models answered only {asked}; pass@k says nothing about the rest.")
    run_tests = any(row["execution"] for row in run.verdicts)
    whose = (
        "tests that came with them" if "foreign" in run[CANDIDATES + run.rounds[0]].params else "teacher's own tests"
    )
    ran = f"solutions were run only against the {whose}" if run_tests else "no solution was run"
    found.append(f"No person has read the rows, and {ran}.")
    found.append(f"Only one benchmark was run: {run['data/completions/base'].params['benchmark']}.")
    return found
