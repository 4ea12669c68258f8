"""filter: keeps the functions worth asking a teacher about, and counts each drop by rule.

Reads     data/functions
Writes    data/corpus/corpus.parquet    the rows that passed every rule, in the order of data/functions
          data/corpus/dropped.parquet   the others, with the rule and what it found
          metrics/filter.json           the funnel, the language mix next to the paper's, benchmarks checked

The rules in order: length, blacklist, syntax, trivial, self-contained, licence, exact duplicates, near duplicates, and
n-grams shared with a benchmark (docs/corpus.md). Benchmarks whose files are missing are not checked; the metrics name
them.
"""

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field

from stages.lib import artifacts, params, records
from stages.lib.corpus import rules
from stages.lib.corpus.decontamination import Benchmark, Decontaminator, load_benchmarks
from stages.lib.errors import BadInput

DROPPED = pa.schema([*records.FUNCTION, ("rule", pa.string()), ("reason", pa.string())])
PAPER = Path(rules.__file__).with_name("wavecoder.yaml")
Positive = Annotated[int, Field(gt=0)]


class Length(params.Section):
    """How long code may be."""

    least: Positive
    most: Positive
    unit: rules.Unit


class Licenses(params.Section):
    """Which licences code may have."""

    allowed: list[str]
    unknown: bool


class Params(params.Section):
    """The `filter` section of params.yaml."""

    length: Length
    blacklist: str | None
    least_operations: Annotated[int, Field(ge=0)]
    self_contained: bool
    licenses: Licenses
    near_duplicates: rules.NearDuplicates
    contamination: rules.Contamination


def main() -> None:
    knobs = params.load("filter", Params)
    functions = artifacts.open("data/functions")
    rows = records.read(functions.file("functions.parquet"), records.FUNCTION).to_pylist()
    folder = knobs.contamination.folder
    benchmarks, unchecked = load_benchmarks(Path(folder) if folder else None)
    kept, dropped = rules.apply(plan(knobs, benchmarks), rows)
    if not kept:
        raise BadInput(f"none of {len(rows)} rows passed the filter ({_funnel(dropped)}); loosen a rule in params.yaml")
    recorded = knobs.result | {
        "benchmarks": {benchmark.name: artifacts.digest(benchmark.texts) for benchmark in benchmarks}
    }
    with artifacts.create("data/corpus", stage="filter", inputs=[functions], params=recorded) as out:
        records.write(out / "corpus.parquet", kept, records.FUNCTION)
        records.write(out / "dropped.parquet", dropped, DROPPED)
        artifacts.write_metrics("filter", count(rows, kept, dropped, benchmarks, unchecked, list(plan(knobs, []))))


def plan(knobs: Params, benchmarks: list[Benchmark]) -> dict[str, rules.Rule]:
    """The rules by name, in the order they apply."""
    words = rules.read_blacklist(Path(knobs.blacklist)) if knobs.blacklist else rules.read_blacklist()
    steps = {
        "length": rules.length(knobs.length.least, knobs.length.most, knobs.length.unit),
        "blacklist": rules.blacklist(words),
        "syntax": rules.syntax(),
        "trivial": rules.trivial(knobs.least_operations),
        "self_contained": rules.self_contained(),
        "license": rules.license(knobs.licenses.allowed, knobs.licenses.unknown),
        "exact_duplicate": rules.exact_duplicates,
        "near_duplicate": rules.near_duplicates_of(_code, knobs.near_duplicates),
        "contamination": rules.contamination(_everything, Decontaminator(benchmarks, knobs.contamination.ngram)),
    }
    left_out = {"trivial"} if knobs.least_operations == 0 else set[str]()
    left_out |= set() if knobs.self_contained else {"self_contained"}
    return {name: rule for name, rule in steps.items() if name not in left_out}


def count(
    rows: list[rules.Row],
    kept: list[rules.Row],
    dropped: list[rules.Row],
    benchmarks: list[Benchmark],
    unchecked: list[str],
    names: list[str],
) -> dict[str, Any]:
    by_rule = Counter(row["rule"] for row in dropped)
    return {
        "rows_in": len(rows),
        "dropped": {name: by_rule[name] for name in names},
        "dropped_examples": {name: examples(name, dropped) for name in names},
        "rows_out": len(kept),
        "rows_of_unknown_license": sum(map(rules.has_unknown_license, kept)),
        "rows_by_language": dict(sorted(Counter(row["language"] for row in kept).items())),
        "language_percent": mix(kept),
        "benchmarks_checked": [benchmark.name for benchmark in benchmarks],
        "benchmarks_not_checked": unchecked,
    }


def examples(rule: str, dropped: list[rules.Row]) -> list[str]:
    """The first of those that `rule` dropped, each with its place and what the rule found."""
    found = (row for row in dropped if row["rule"] == rule)
    return [f"{row['source']} {row['path']}:{row['line']} {row['name']}: {row['reason']}" for row in islice(found, 3)]


def mix(kept: list[rules.Row]) -> dict[str, dict[str, float]]:
    """Each language's share in percent, next to the paper's Table 1, whose "Others" takes all the rest."""
    paper = params.read(PAPER)["language_percent"]
    groups = Counter(row["language"] if row["language"] in paper else "Others" for row in kept)
    return {
        name: {"here": round(100 * groups[name] / len(kept), 2), "paper": percent} for name, percent in paper.items()
    }


def _funnel(dropped: list[rules.Row]) -> str:
    return ", ".join(f"{name} {rows}" for name, rows in Counter(row["rule"] for row in dropped).items())


def _code(row: rules.Row) -> str:
    return str(row["code"])


def _everything(row: rules.Row) -> str:
    return f"{row['docstring']}\n{row['code']}"
