"""The dataset card."""

from collections import Counter
from pathlib import Path
from typing import Any

from stages.lib import artifacts, templates
from stages.lib.corpus.decontamination import Benchmark
from stages.lib.records import Row

CARD = Path(__file__).with_name("card.md.j2")


def render(facts: dict[str, Any]) -> str:
    """README.md of data/dataset."""
    return templates.render(CARD, facts)


def describe_rounds(
    numbers: list[int],
    candidates: list[artifacts.Artifact],
    verdicts: list[artifacts.Artifact],
    judged: list[list[Row]],
) -> list[dict[str, Any]]:
    """Each round's teacher, or the file of `foreign` rows, its judge and counts, for the card."""
    return [
        {
            "number": number,
            "foreign": made.params.get("foreign"),
            "teacher": made.params["teacher"]["model"],
            "judge": ruled.params["teacher"]["model"],
            "candidates": len(rows),
            "passed": sum(row["passed"] for row in rows),
        }
        for number, made, ruled, rows in zip(numbers, candidates, verdicts, judged, strict=True)
    ]


def list_sources(kept: list[Row]) -> list[tuple[str, str, int]]:
    """Source, licence and row count, for the card."""
    counts = Counter((row["source"], row["license"]) for row in kept)
    return [(source, license, rows) for (source, license), rows in sorted(counts.items())]


def count_unasked(kept: list[Row]) -> dict[str, int]:
    """How many rows no teacher was asked about, and of these no judge either, for the card."""
    unasked = [row for row in kept if not row["request"]]
    return {"unasked": len(unasked), "unjudged": sum(not row["judge_request"] for row in unasked)}


def count(
    parts: dict[str, list[Row]],
    passed: list[Row],
    dropped: list[Row],
    benchmarks: list[Benchmark],
    unchecked: list[str],
    names: list[str],
) -> dict[str, Any]:
    """What metrics/assemble.json says of the rows that `passed`: kept by part, task and language, dropped by rule."""
    kept = [row for rows in parts.values() for row in rows]
    by_rule = Counter(row["rule"] for row in dropped)
    return {
        "rows_in": len(passed),
        "dropped": {name: by_rule[name] for name in names},
        **{name: len(rows) for name, rows in parts.items()},
        "tasks": dict(sorted(Counter(row["task"] for row in kept).items())),
        "languages": dict(sorted(Counter(row["language"] for row in kept).items())),
        "checked": [benchmark.name for benchmark in benchmarks],
        "unchecked": unchecked,
    }
