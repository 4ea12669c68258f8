"""The comparison page as index.html, index.md and results.json."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

from commands.ablate import driver, effects, results
from commands.ablate.effects import UNTUNED
from commands.ablate.matrix import Matrix
from commands.ablate.results import Result
from executors.tracking.clone import Clone
from stages.lib import artifacts, statistics
from stages.lib.errors import BadInput
from stages.lib.report import figures as plots
from stages.lib.report import rendering as report
from stages.lib.statistics import Difference

FOLDER = Path(__file__).parent


def write(matrix: Matrix, clone: Clone, folder: Path) -> str:
    """Write the finished runs' page into `folder` and return a summary. Raises `BadInput` if no run is finished."""
    found = results.read(matrix, clone)
    if not found:
        raise BadInput(f"no run of {matrix.name} is finished; run `make ablate NAME={matrix.name}`")
    facts = gather(matrix, found, driver.events(folder))
    html = report.render("index.html.j2", folder=FOLDER, **facts)
    (folder / "index.html").write_text(html, encoding="utf-8")
    (folder / "index.md").write_text(report.render("index.md.j2", folder=FOLDER, **facts), encoding="utf-8")
    artifacts.write_json(folder / "results.json", to_json(facts))
    for name, (_, svg) in facts["plots"].items():
        artifacts.write_text(folder / f"{name}.svg", plots.standalone(svg))
    counted = facts["stages"]
    return (
        f"stages: {counted['ran']} ran, {counted['cached']} came from the run cache, {counted['unchanged']} did not "
        f"change from the previous run; {counted['distinct']} of {counted['all']} artifacts are distinct\n"
        f"{folder / 'index.html'} (and index.md, results.json)"
    )


def gather(matrix: Matrix, finished: list[Result], events: list[dict[str, str]]) -> dict[str, Any]:
    """The templates' variables."""
    found = results.average(matrix, finished)
    reference = next((one for one in found if one.name == matrix.reference), found[0])
    differences, tuning = effects.compare(found, reference), effects.tuning(found)
    losses = effects.losses(found, reference)
    return {
        "matrix": matrix,
        "finished": finished,
        "runs": found,
        "reference": reference,
        "seeded": any(matrix.repeats[name] != name for name in matrix.runs),
        "missing": [name for name in matrix.runs if name not in {one.name for one in finished}],
        "columns": results.figures(matrix.figures),
        "benchmarks": group(found, reference),
        "differences": differences,
        "tuning": tuning,
        "together": effects.TOGETHER,
        "flipped": effects.flipped(found),
        "losses": losses,
        "mean_loss": mean_losses(found, reference),
        "verdict": conclude(differences, tuning, losses),
        "stages": count_stages(finished, events),
        "plots": draw(found, reference, differences, tuning, losses),
        "changed": changed_params(found, reference),
        "shares": {
            "Tasks": shares(found, "mix", "tasks"),
            "Languages": shares(found, "mix", "languages"),
            "Pass rate by rule, of the candidates it was applied to": shares(found, "pass_rate", "by_rule"),
            "Contamination by benchmark": shares(found, "contamination", "by_benchmark"),
        },
        "ways": list_ways(finished, events),
    }


def conclude(differences: list[Difference], tuning: list[Difference], losses: list[Difference]) -> str:
    """What the page says first: what tuning changed on several benchmarks, and how the runs differ."""
    if tuning:
        between_runs = [one for one in differences if effects.UNTUNED not in (one.one, one.other)]
        return " ".join([effects.conclude_tuning(tuning), *([effects.conclude(between_runs)] if between_runs else [])])
    said = [effects.conclude(differences)] if differences else []
    if losses:
        said.append(effects.conclude_losses(losses))
    return " ".join(said) or "No two runs were scored on the same problems, so their models cannot be compared."


def group(found: Sequence[Result], reference: Result) -> list[dict[str, Any]]:
    """The scores by benchmark: a line per tuned model and per distinct untuned one."""
    groups: dict[str, list[dict[str, Any]]] = {}
    slices: dict[str, str] = {}
    for one in sorted(found, key=lambda one: one is not reference):
        for model in ("base", "tuned"):
            score = one.scores.get(model)
            if score is None:
                continue
            rows = groups.setdefault(score.benchmark, [])
            slices[score.benchmark] = score.slice
            if model == "tuned" or all(row["score"].shares != score.shares for row in rows if row["untuned"]):
                rows.append(
                    {"name": UNTUNED if model == "base" else one.name, "untuned": model == "base", "score": score}
                )
    return [{"benchmark": name, "slice": slices[name], "rows": rows} for name, rows in groups.items()]


def mean_losses(found: Sequence[Result], reference: Result) -> dict[str, float]:
    """Each run's mean loss over the held-out rows that the reference was tested on too."""
    shared = {one.name: [loss for row, loss in one.losses.items() if row in reference.losses] for one in found}
    return {name: mean(losses) for name, losses in shared.items() if losses}


def count_stages(found: Sequence[Result], events: Sequence[dict[str, str]]) -> dict[str, int]:
    """How many stages ran or were reused over all runs, and how many artifacts are distinct."""
    how = Counter(event["how"] for event in events)
    outcomes = {(path, root) for one in found for path, root in one.roots.items()}
    return {
        "ran": how["ran"],
        "cached": how["cached"],
        "unchanged": how["unchanged"],
        "distinct": len(outcomes),
        "all": sum(len(one.roots) for one in found),
    }


def changed_params(found: Sequence[Result], reference: Result) -> dict[str, list[tuple[str, Any, Any]]]:
    """Per run, the params that differ from the reference: key, the reference's value, the run's."""
    own = _flat(reference.params)
    changes = {}
    for one in found:
        other = _flat(one.params)
        keys = [key for key in {**own, **other} if own.get(key) != other.get(key)]
        changes[one.name] = [(key, _short(own.get(key)), _short(other.get(key))) for key in keys]
    return changes


def shares(found: Sequence[Result], *path: str) -> dict[str, dict[str, float | None]]:
    """A mapping of metrics/measure.json, transposed: by name, each run's share.

    A name missing from a mix has no rows; a missing rule or benchmark was not checked.
    """
    turned: dict[str, dict[str, float | None]] = {}
    held: dict[str, Any] = {}
    for one in found:
        held[one.name] = one.metrics.get("measure", {})
        for part in path:
            held[one.name] = held[one.name].get(part, {})
    absent = 0.0 if path[0] == "mix" else None
    for name in sorted({name for own in held.values() for name in own}):
        turned[name] = {run: own.get(name, absent) for run, own in held.items() if own}
    return turned


def list_ways(found: Sequence[Result], events: Sequence[dict[str, str]]) -> dict[str, dict[str, str]]:
    """By stage and run, where the result came from: "ran" if it ran in any attempt, otherwise the last event."""
    names = {one.name for one in found}
    ways: dict[str, dict[str, str]] = {}
    for event in events:
        if event["run"] in names:
            row = ways.setdefault(event["stage"], {})
            row[event["run"]] = "ran" if row.get(event["run"]) == "ran" else event["how"]
    return ways


def draw(
    found: Sequence[Result],
    reference: Result,
    differences: Sequence[Difference],
    tuning: Sequence[Difference],
    losses: Sequence[Difference],
) -> dict[str, tuple[str, str]]:
    """By name the plots for which there is something to show: what it shows, and the SVG."""
    minus = f"minus {reference.name}"
    made = {
        "tuning": (
            "The tuned model minus the untuned one, on the same problems.",
            draw_differences(tuning, "What tuning changed, in pass@1, with its paired 95% interval"),
        ),
        "score": (
            "pass@1 of each model and its 95% interval. Overlapping intervals decide nothing here, because the models "
            "answered the same problems; the paired tests do.",
            draw_scores(found, reference),
        ),
        "difference": (
            f"Each run {minus}, on the same problems, with the paired bootstrap’s 95% interval. An interval that "
            "crosses zero shows no difference.",
            draw_differences([one for one in differences if one.one == reference.name]),
        ),
        "loss": (
            f"Each run’s loss on held-out rows {minus}, on the same rows, with 95% intervals; left is better. An "
            "interval that crosses zero shows no difference.",
            draw_losses(losses),
        ),
        "curve": ("By the number of training rows.", draw_curve(found, reference)),
    }
    return {name: (caption, svg) for name, (caption, svg) in made.items() if svg}


def draw_scores(found: Sequence[Result], reference: Result) -> str:
    """pass@1 with its interval, a line per model and benchmark; "" if nothing was scored."""
    parts = group(found, reference)
    lines = [
        (label, row["score"].pass_at_1, row["score"].low, row["score"].high)
        for part in parts
        for label, row in zip(_labels(part, alone=len(parts) == 1), part["rows"], strict=True)
    ]
    return plots.interval_lines("pass@1 of each model with its 95% interval", lines, "pass@1") if lines else ""


def draw_differences(
    differences: Sequence[Difference],
    title: str = "Difference in pass@1 from the reference, with its paired 95% interval",
) -> str:
    """Each difference with its paired interval; "" if nothing was compared."""
    lines = [(one.other, one.mean, one.low, one.high) for one in differences]
    return plots.interval_lines(title, lines, "difference of pass@1", zero=True) if lines else ""


def draw_losses(losses: Sequence[Difference]) -> str:
    """Each difference in loss with its paired interval and, where runs were repeated, the one over seeds; "" if nothing
    was compared."""
    lines = []
    for one in losses:
        label = f"{one.other}, over rows" if one.over_seeds else one.other
        lines.append((label, one.mean, one.low, one.high))
        if one.over_seeds:
            lines.append(("over seeds", one.mean, *one.over_seeds))
    title = "Difference in the loss of held-out rows from the reference, with its 95% interval"
    return plots.interval_lines(title, lines, "difference, nats a token", zero=True, shares=False) if lines else ""


def draw_curve(found: Sequence[Result], reference: Result) -> str:
    """pass@1 by training rows, or the loss on held-out rows where nothing was scored, of the runs that differ from the
    reference only in how many rows they draw (`assemble.rows`); "" for fewer than three."""
    drawn = [one for one in found if _all_but_rows(one) == _all_but_rows(reference)]
    sized = [(float(rows), one) for one in drawn if (rows := one.figure("rows.train"))]
    scored = [(rows, one.scores["tuned"]) for rows, one in sized if "tuned" in one.scores]
    if len(scored) > 2:
        points = [(rows, score.pass_at_1, score.low, score.high) for rows, score in scored]
        return plots.interval_points("pass@1 by training rows with its 95% interval", points, "training rows", "pass@1")
    points = [(rows, *mean_over_seeds(one)) for rows, one in sized if one.losses]
    title = "Loss on held-out rows by training rows, with its 95% interval over seeds"
    return (
        plots.interval_points(title, points, "training rows", "nats a token", shares=False) if len(points) > 2 else ""
    )


def _all_but_rows(one: Result) -> dict[str, Any]:
    return {key: value for key, value in one.overrides.items() if key != "assemble.rows" and not key.endswith(".seed")}


def mean_over_seeds(one: Result) -> tuple[float, float, float]:
    """The mean loss on held-out rows and its 95% interval over seeds, a point where a run was not repeated."""
    seeds = [mean(losses.values()) for losses in one.seed_losses]
    middle = mean(one.losses.values())
    low, high = statistics.student(seeds) if len(seeds) > 1 else (middle, middle)
    return middle, low, high


def to_json(facts: dict[str, Any]) -> dict[str, Any]:
    """The page's figures as JSON."""
    matrix = facts["matrix"]
    return {
        "matrix": {key: getattr(matrix, key) for key in ("name", "title", "question", "reference", "runs")},
        "runs": {
            one.name: {
                "experiment": one.experiment,
                "commit": one.commit,
                "roots": one.roots,
                "measure": one.metrics.get("measure", {}),
                "scores": {model: asdict(score) for model, score in one.scores.items()},
            }
            for one in facts["finished"]
        },
        "missing": facts["missing"],
        "differences": [asdict(one) for one in facts["differences"]],
        "tuning": [asdict(one) for one in facts["tuning"]],
        "flipped": facts["flipped"],
        "losses": [asdict(one) for one in facts["losses"]],
        "mean_loss": facts["mean_loss"],
        "stages": facts["stages"],
    }


def _labels(part: dict[str, Any], alone: bool) -> list[str]:
    """A name for each of a benchmark's models in a plot; `alone` where there is no other benchmark."""
    tuned = sum(not row["untuned"] for row in part["rows"])
    names = ["tuned model" if tuned == 1 and not row["untuned"] else row["name"] for row in part["rows"]]
    return names if alone else [f"{part['benchmark']}, {name}" for name in names]


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict) or not values:
        return {prefix: values}
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def _short(value: Any) -> str:
    text = artifacts.canonical(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
