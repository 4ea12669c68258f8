"""What the page says first: what the run is, its numbers, and what was not checked."""

from typing import Any

from stages.lib.report import tables
from stages.lib.report.inputs import CANDIDATES, VERDICTS, Run
from stages.lib.report.rendering import number, percent, plural

Facts = dict[str, Any]

# The model that comes with the packages, by a part of its name; the page warns of whatever it taught or judged.
WEAK = "SmolLM2-135M"


def about(run: Run) -> Facts:
    """The models and sources of the run, from the parameters in the seals."""
    first = run.rounds[0]
    teacher = run[CANDIDATES + first].params["teacher"]["model"]
    judge = run[VERDICTS + first].params["teacher"]["model"]
    return {
        "sources": len(tables.count(run["data/functions"], "functions.parquet", "source")),
        "rounds": len(run.rounds),
        "encoder": run["data/embeddings"].params["encoder"],
        "teacher": teacher,
        "judge": judge,
        "base_model": run["data/completions/base"].params["model"],
        "weak": [role for role, model in (("teacher", teacher), ("judge", judge)) if WEAK in model],
    }


def count(run: Run) -> dict[str, int]:
    """Rows at the points of the run that the page names again and again."""
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
        ("functions picked", number(counts["picks"]), "to spread over the rest"),
        (
            "covering radius",
            number(covered.radius),
            f"no choice can beat {number(covered.bound)}" if covered.bound else "",
        ),
        ("candidates passed", f"{judged.passed} of {judged.total}", f"judge pass rate {percent(judged.share)}"),
        ("training rows", number(counts["train"]), plural(counts["validation"], "row") + " for validation"),
        ("training loss", f"{trained.first:.3f} → {trained.last:.3f}", "first step and last"),
        ("pass@1, base", percent(examined.base.pass_at_1), examined.base.counts),
        ("pass@1, tuned", percent(examined.tuned.pass_at_1), examined.tuned.counts),
    ]


def summary(facts: Facts) -> list[tuple[str, str]]:
    """The lines of summary.txt: what `make` prints at its end."""
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
        ("judge pass rate", f"{percent(judged.share)} ({judged.passed} of {judged.total})"),
        ("covering radius", f"{number(covered.radius)} after {plural(covered.picks, 'pick')}"),
        ("training loss", f"{trained.first:.3f} first, {trained.last:.3f} last"),
        *results,
        ("report", "report/index.html"),
    ]


def unchecked(run: Run) -> list[str]:
    """What this run did not do, one sentence each."""
    found = []
    if absent := run.metrics["filter"]["benchmarks_not_checked"]:
        found.append(
            f"Contamination with {', '.join(absent)}: their files are not on this machine, so that rows that repeat "
            "their tasks were not looked for."
        )
    if not run.metrics["filter"]["benchmarks_checked"]:
        found.append("Contamination with any benchmark.")
    if unlicensed := sum(not name for name in tables.column(run["data/corpus"], "corpus.parquet", "license")):
        found.append(f"The licence of {plural(unlicensed, 'function')} of the corpus is unknown.")
    if not run.splits()["validation"]:
        found.append("Validation loss: no row of the dataset was held out.")
    if not (asked := run.metrics["score-base"]["slice"]).startswith("all "):
        found.append(f"The models were asked {asked}: pass@k speaks of these alone.")
    run_tests = any(row["execution"] for row in run.verdicts)
    ran = "solutions were run against the teacher's own tests alone" if run_tests else "no solution was run"
    found.append(f"No person has read the rows, and {ran}: a row that passed is a row that a model liked.")
    found.append("MBPP and HumanEvalPack, which the paper reports too, were not run.")
    return found
