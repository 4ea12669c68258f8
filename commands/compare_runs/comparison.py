"""What differs between two runs: figures, verdicts on the same rows, mix, parameters; and the page that shows it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.compare_runs.sides import Side
from stages.lib import artifacts, statistics
from stages.lib.records import Row
from stages.lib.report import packing, rendering
from stages.lib.report.training import flatten
from stages.lib.statistics import Difference

FOLDER = Path(__file__).parent
SAME, OTHER = "in both, same verdict", "in both, other verdict"


@dataclass(frozen=True)
class Line:
    """A figure of both runs, B minus A, the 95% interval of that where it is known, and how the numbers are written."""

    name: str
    kind: str
    a: float | None
    b: float | None
    counts: tuple[str, str]
    interval: tuple[float, float] | None

    @property
    def difference(self) -> float | None:
        """B minus A; None if either lacks it."""
        return None if self.a is None or self.b is None else self.b - self.a

    @property
    def beyond_chance(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def gather(a: Side, b: Side) -> dict[str, Any]:
    """The page's facts."""
    problems = {model: _examine(a, b, model) for model in ("base", "tuned")}
    return {
        "a": a,
        "b": b,
        "lines": list(_lines(a, b, problems)),
        "examined": problems["tuned"],
        "mix": {name: _mix(a, b, name) for name in ("language", "task")},
        "parameters": _parameters(a, b),
        "same": sorted(name for name, root in a.data["roots"].items() if b.data["roots"].get(name) == root),
        "rows": merge(a, b),
        "moved": _moves(a, b),
    }


def write(facts: dict[str, Any], out: Path) -> None:
    """Write the page to `out`, its rows in it."""
    known = {
        "dataset": facts["a"].data["dataset"],
        "outcomes": facts["a"].data["outcomes"],
    }
    packed, kept = packing.pack(known, facts["rows"])
    shown = {"shown": kept, "total": len(facts["rows"])}
    html = rendering.render(
        "index.html.j2", folder=FOLDER, **facts | {"counted": shown, "packed": packed, "script": rendering.script()}
    )
    artifacts.write_text(out, html)


def summary(facts: dict[str, Any]) -> list[str]:
    """What `make` prints."""
    runs = Counter(row["run"] for row in facts["rows"])
    told = [line for line in facts["lines"] if line.beyond_chance]
    return [
        *(f"{run}: {count:,} rows" for run, count in sorted(runs.items())),
        "more than chance: " + ("; ".join(line.name for line in told) or "no figure that has an interval"),
    ]


def merge(a: Side, b: Side) -> list[Row]:
    """The rows of both runs, each once, with `run` (where it is) and, if its verdict differs, `then` (what B says)."""
    found = []
    for row_id, row in a.rows.items():
        other = b.rows.get(row_id)
        if other is None:
            found.append({**row, "run": "only in A"})
        elif other["outcome"] == row["outcome"]:
            found.append({**row, "run": SAME})
        else:
            reasons = f" ({', '.join(other['stopped'])})" if other.get("stopped") else ""
            found.append({**row, "run": OTHER, "then": f"In B: {other['outcome']}{reasons}."})
    return found + [{**row, "run": "only in B"} for row_id, row in b.rows.items() if row_id not in a.rows]


def _lines(a: Side, b: Side, problems: dict[str, Difference | None]) -> Iterator[Line]:
    for name in dict.fromkeys([*a.figures, *b.figures]):
        one, other = a.figures.get(name, {}), b.figures.get(name, {})
        known = {**other, **one}
        yield Line(
            name=name,
            kind=known["as"],
            a=one.get("value"),
            b=other.get("value"),
            counts=(_counts(one), _counts(other)),
            interval=_interval(one, other, problems.get(known.get("model", ""))),
        )


def _interval(one: Row, other: Row, examined: Difference | None) -> tuple[float, float] | None:
    if examined:
        return examined.low, examined.high
    if "hits" not in one or "hits" not in other:
        return None
    found = statistics.difference(other["hits"], other["of"], one["hits"], one["of"])
    return (found[0], found[1]) if found else None


def _counts(figure: Row) -> str:
    return f"{figure['hits']:,} of {figure['of']:,}" if "hits" in figure else ""


def _examine(a: Side, b: Side, model: str) -> Difference | None:
    """The paired comparison of a model's pass rates; None unless both were asked the same problems."""
    left, right = a.data["problems"][model], b.data["problems"][model]
    return statistics.compare("A", "B", left, right) if left and left.keys() == right.keys() else None


def _mix(a: Side, b: Side, name: str) -> list[tuple[str, int, int]]:
    left, right = a.data["mix"][name], b.data["mix"][name]
    names = sorted({*left, *right}, key=lambda one: (-left.get(one, 0) - right.get(one, 0), one))
    return [(one, left.get(one, 0), right.get(one, 0)) for one in names]


def _parameters(a: Side, b: Side) -> list[tuple[str, str, str, str]]:
    """Artifact, key and both values of every parameter that differs."""
    found = []
    for name in dict.fromkeys([*a.data["parameters"], *b.data["parameters"]]):
        left, right = (dict(flatten(side.data["parameters"].get(name, {}))) for side in (a, b))
        keys = [key for key in dict.fromkeys([*left, *right]) if left.get(key) != right.get(key)]
        found += [(name, key, left.get(key, "–"), right.get(key, "–")) for key in keys]
    return found


def _moves(a: Side, b: Side) -> list[tuple[str, str, int]]:
    """How many of the rows in both have which verdict in A and in B, the changed ones first."""
    both = Counter((row["outcome"], b.rows[row_id]["outcome"]) for row_id, row in a.rows.items() if row_id in b.rows)
    return [(*key, both[key]) for key in sorted(both, key=lambda key: (key[0] == key[1], -both[key], key))]
