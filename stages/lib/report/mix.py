"""Languages and tasks at several points of the run, next to the paper's."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.lib.report import rendering, tables
from stages.lib.report.inputs import SPLITS, Run

OTHERS = "Others"


@dataclass(frozen=True)
class Share:
    """One language or task: its share (0 to 1) at each point of the run, and in the paper if listed there."""

    name: str
    shares: list[float | None]
    paper: float | None


@dataclass(frozen=True)
class Mix:
    """The shares at each point in `columns`, and the row count there."""

    columns: list[str]
    rows: list[Share]
    totals: list[int]
    paper_total: int | None


def languages(run: Run) -> Mix:
    """Languages of the functions, corpus, picks and dataset next to the paper's Table 1."""
    points = {
        "functions": tables.count(run["data/functions"], "functions.parquet", "language"),
        "corpus": tables.count(run["data/corpus"], "corpus.parquet", "language"),
        "picks": tables.count(run["data/coreset"], "coreset.parquet", "language"),
        "dataset": _dataset(run, "language"),
    }
    paper = {name: group["paper"] / 100 for name, group in run.metrics["filter"]["language_percent"].items()}
    return compare(points, paper)


def tasks(run: Run) -> Mix:
    """Tasks of the candidates, the passed ones and the dataset next to the paper's Table 2."""
    points = {
        "candidates": Counter(row["task"] for row in run.verdicts),
        "passed": Counter(row["task"] for row in run.verdicts if row["passed"]),
        "dataset": _dataset(run, "task"),
    }
    paper = rendering.paper()
    return compare(points, {name: value / 100 for name, value in paper["task_percent"].items()}, paper["task_rows"])


@dataclass(frozen=True)
class Wording:
    """How alike the dataset's instructions are: the share of distinct first five words, over all rows and by task, and
    of distinct n-grams, n from 1."""

    rows: int
    openings: float | None
    by_task: list[tuple[str, int, float | None]]
    distinct: list[float | None]


def wording(run: Run) -> Wording | None:
    """From metrics/measure.json; None if `measure.metrics` leaves it out."""
    measured = run.metrics["measure"].get("instructions")
    if measured is None:
        return None
    rows = _dataset(run, "task")
    by_task = [(task, rows[task], share) for task, share in measured["openings_by_task"].items()]
    grams = sorted(name for name in measured if name.startswith("distinct_"))
    return Wording(rows.total(), measured["openings"], by_task, [measured[name] for name in grams])


def compare(points: Mapping[str, Mapping[str, int]], paper: Mapping[str, float], paper_total: int | None = None) -> Mix:
    """Shares by name at each of `points` next to the paper's, largest first, then the names the paper does not list
    (summed up as "Others" where the paper does)."""
    named = sorted((name for name in paper if name != OTHERS), key=lambda name: -paper[name])
    unnamed = sorted({name for counted in points.values() for name in counted} - set(named))
    totals = [sum(counted.values()) for counted in points.values()]

    def shares(names: Sequence[str]) -> list[float | None]:
        found = [sum(counted.get(name, 0) for name in names) for counted in points.values()]
        return [rows / total if total else None for rows, total in zip(found, totals, strict=True)]

    rows = [Share(name, shares([name]), paper[name]) for name in named]
    if OTHERS in paper:
        rows.append(Share(f"{OTHERS}: {', '.join(unnamed) or 'none'}", shares(unnamed), paper[OTHERS]))
    else:
        rows += [Share(name, shares([name]), None) for name in unnamed]
    return Mix(list(points), rows, totals, paper_total)


def _dataset(run: Run, column: str) -> Counter[str]:
    return Counter(
        value for split in SPLITS for value in tables.column(run["data/dataset"], f"{split}.parquet", column)
    )
