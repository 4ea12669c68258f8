"""Languages and tasks that were there at first and have no row in the dataset: where they went, and why."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from stages.lib.report import judging, rows, tables
from stages.lib.report.inputs import Run
from stages.lib.report.tables import Row

LEAST_SHARE = 0.01  # what is rarer at the first point is not missed

Points = Mapping[str, Mapping[str, int]]  # rows by name, at each point of the run in order


@dataclass(frozen=True)
class Loss:
    """A name that vanished: its rows at each point, what stopped most of them, the probability that a fair draw of as
    many rows as were kept would have none of it, and a link to its rows."""

    name: str
    share: float
    counts: dict[str, int]
    stopped: str
    by_luck: float
    link: str


@dataclass(frozen=True)
class Losses:
    """All losses of the run, languages first, each group with the largest share first."""

    points: list[str]
    rows: list[Loss]


def read(run: Run, entries: Sequence[Row]) -> Losses:
    """What the run lost; nothing if its dataset is empty, which the headline says."""
    functions = rows.made_from(run, {entry["function_id"] for entry in entries})
    languages = [functions.get(entry["function_id"], {}).get("language", "") for entry in entries]
    tasks = [entry["task"] for entry in entries]
    points = {
        "corpus": tables.count(run["data/corpus"], "corpus.parquet", "language"),
        "picks": tables.count(run["data/coreset"], "coreset.parquet", "language"),
        "read": Counter(languages),
        **_judged(entries, languages),
    }
    found = [
        *find(points, _reasons(entries, languages), "language"),
        *find(_judged(entries, tasks), _reasons(entries, tasks), "task"),
    ]
    return Losses(list(points), found)


def find(points: Points, reasons: Mapping[str, Counter[str]], facet: str) -> list[Loss]:
    """The names that have at least `LEAST_SHARE` of the first point and nothing at the last one."""
    first, *_, last = points.values()
    total, kept = sum(first.values()), sum(last.values())
    lost = (
        [name for name in first if name and first[name] >= LEAST_SHARE * total and not last.get(name)] if kept else []
    )
    return [
        Loss(
            name=name,
            share=first[name] / total,
            counts={point: counts.get(name, 0) for point, counts in points.items()},
            stopped=", ".join(f"{reason} {times:,}" for reason, times in reasons.get(name, Counter()).most_common(3)),
            by_luck=(1 - first[name] / total) ** kept,
            link=f"#rows?{urlencode({facet: name})}",
        )
        for name in sorted(lost, key=lambda name: (-first[name], name))
    ]


def _judged(entries: Sequence[Row], names: Sequence[str]) -> dict[str, Counter[str]]:
    """The candidates by name, those that passed the checks, and those in the dataset."""
    named = [(entry, name) for entry, name in zip(entries, names, strict=True) if "instruction" in entry["record"]]
    stood = [(entry, name) for entry, name in named if entry["outcome"] not in (judging.BY_CHECKS, rows.DEAD)]
    kept = [(entry, name) for entry, name in stood if entry["outcome"] == rows.IN_DATASET]
    points = {"candidates": named, "passed the checks": stood, "dataset": kept}
    return {point: Counter(name for _, name in found) for point, found in points.items()}


def _reasons(entries: Sequence[Row], names: Sequence[str]) -> dict[str, Counter[str]]:
    """By name, how often each rule stopped a row."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for entry, name in zip(entries, names, strict=True):
        found[name].update(rule.replace("_", " ") for rule in entry["stopped"])
    return found
