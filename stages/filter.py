"""filter: keeps the functions worth asking a teacher about, and counts each drop by rule.

Reads     data/functions
Writes    data/corpus/corpus.parquet    the rows that passed every rule, in the order of data/functions
          data/corpus/dropped.parquet   the others, with the rule and what it found, in the order of the rules
          metrics/filter.json           the funnel, the language mix next to the paper's, benchmarks checked

The rules in order: length, blacklist, syntax, trivial, self-contained, licence, exact duplicates, near duplicates, and
n-grams shared with a benchmark (docs/corpus.md). Benchmarks whose files are missing are not checked; the metrics name
them.

Rows are read in slices, which several processes screen; each slice is saved: a killed run resumes after the last one,
and machines can split them (stages/lib/shards.py). Duplicates are then looked for in row order, in one process.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.lib import artifacts, checkpoint, params, progress, records, shards, workers
from stages.lib.corpus import rules, screening
from stages.lib.corpus.decontamination import Benchmark, Decontaminator, load_benchmarks
from stages.lib.corpus.screening import DROPPED, EXACT, NEAR, Slice
from stages.lib.errors import BadInput

log = logging.getLogger("tidemill.filter")

CODE = (Path(__file__), Path(rules.__file__).parent)  # what decides a row
ROWS_FOR_MANY = 65_536  # fewer are screened before other processes have started
EXAMPLES = 3  # rows that the metrics show of each rule
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
    workers: Annotated[int, Field(ge=1)] | None = Field(exclude=True)


def main() -> None:
    knobs = params.load("filter", Params)
    functions = artifacts.open("data/functions")
    folder = knobs.contamination.folder
    benchmarks, unchecked = load_benchmarks(Path(folder) if folder else None)
    make = partial(plan, knobs, benchmarks)
    before, after = map(list, make())  # refuses bad parameters, too
    recorded = knobs.result | {
        "benchmarks": {benchmark.name: artifacts.digest(benchmark.texts) for benchmark in benchmarks}
    }
    saves = checkpoint.folder("filter", [functions], {**recorded, "code": checkpoint.code(*CODE)})
    slices = list(screen(functions, screening.Screen(make, knobs.near_duplicates, saves), knobs.workers))
    if shards.is_one():
        return
    repeats = list(find_repeats(slices, knobs.near_duplicates.threshold))
    dropped = partial(screening.dropped, slices, repeats, before, after)
    total = functions.rows("functions.parquet")
    if not any(screening.keeps(one, found).any() for one, found in zip(slices, repeats, strict=True)):
        raise BadInput(f"none of {total} rows passed the filter ({_funnel(dropped())}); loosen a rule in params.yaml")
    with artifacts.create("data/corpus", stage="filter", inputs=[functions], params=recorded) as out:
        facts = write_kept(out, slices, repeats) | write_dropped(out, [*before, EXACT, NEAR, *after], dropped())
        checked = {"benchmarks_checked": [one.name for one in benchmarks], "benchmarks_not_checked": unchecked}
        artifacts.write_metrics("filter", {"rows_in": total, **facts, **checked})
    checkpoint.discard(saves)


def plan(knobs: Params, benchmarks: list[Benchmark]) -> tuple[dict[str, rules.Rule], dict[str, rules.Rule]]:
    """The rules of single rows by name, in the order they apply: those before the duplicates, and those after."""
    words = rules.read_blacklist(Path(knobs.blacklist)) if knobs.blacklist else rules.read_blacklist()
    before = {
        "length": rules.length(knobs.length.least, knobs.length.most, knobs.length.unit),
        "blacklist": rules.blacklist(words),
        "syntax": rules.syntax(),
        "trivial": rules.trivial(knobs.least_operations),
        "self_contained": rules.self_contained(),
        "license": rules.license(knobs.licenses.allowed, knobs.licenses.unknown),
    }
    left_out = {"trivial"} if knobs.least_operations == 0 else set[str]()
    left_out |= set() if knobs.self_contained else {"self_contained"}
    checked = rules.contamination(_everything, Decontaminator(benchmarks, knobs.contamination.ngram))
    return {name: rule for name, rule in before.items() if name not in left_out}, {"contamination": checked}


def screen(functions: artifacts.Artifact, work: screening.Screen, processes: int | None) -> Iterator[Slice]:
    """The slices of this process (all, or its shard's), screened by several."""
    total = functions.rows("functions.parquet")
    batches = records.batches(functions.parts("functions.parquet"), records.FUNCTION, screening.ROWS_AT_ONCE)
    mine = ((number, batch) for number, batch in enumerate(batches) if shards.takes(number))
    with progress.work("screening", total, "rows") as counted:
        for made in workers.results(work, mine, 1 if total < ROWS_FOR_MANY else processes):
            rows = min(screening.ROWS_AT_ONCE, total - counted.done)
            if made.fresh:
                counted.add(rows)
                log.debug("screened %s", made.save.name)
            else:
                counted.skip(rows)
            yield made
            checkpoint.raise_if_stop_requested()


def find_repeats(slices: list[Slice], threshold: float) -> Iterator[np.ndarray]:
    """Of each slice the rows that repeat earlier ones, as `screening.Repeats` says them."""
    with progress.work("looking for duplicates", len(slices), "slices") as counted:
        for found in screening.Repeats(slices, threshold).decide():
            counted.add()
            log.debug("compared slice %d of %d", counted.done, len(slices))
            yield found
            checkpoint.raise_if_stop_requested()


def write_kept(out: Path, slices: list[Slice], repeats: list[np.ndarray]) -> dict[str, Any]:
    """Write corpus.parquet, and say what is in it."""
    corpus = records.Parts(out, "corpus.parquet", records.FUNCTION)
    languages, licenses = Counter[str](), Counter[str]()
    for one, found in zip(slices, repeats, strict=True):
        rows = one.rows().filter(pa.array(screening.keeps(one, found)))
        corpus.add(rows)
        languages.update(rows["language"].to_pylist())
        licenses.update(rows["license"].to_pylist())
    corpus.close()
    unknown = sum(rows for license, rows in licenses.items() if rules.has_unknown_license({"license": license}))
    return {
        "rows_out": corpus.rows,
        "rows_of_unknown_license": unknown,
        "rows_by_language": dict(sorted(languages.items())),
        "language_percent": mix(languages),
    }


def write_dropped(out: Path, names: Iterable[str], tables: Iterable[tuple[str, pa.Table]]) -> dict[str, Any]:
    """Write dropped.parquet, and say how many each rule dropped, with the first of them: place, and what it found."""
    file = records.Parts(out, "dropped.parquet", DROPPED)
    counts = dict.fromkeys(names, 0)
    examples: dict[str, list[str]] = {name: [] for name in counts}
    for name, rows in tables:
        file.add(rows)
        counts[name] += len(rows)
        for row in rows.slice(0, EXAMPLES - len(examples[name])).to_pylist():
            place = f"{row['source']} {row['path']}:{row['line']} {row['name']}"
            examples[name].append(f"{place}: {row['reason']}")
    file.close()
    return {"dropped": counts, "dropped_examples": examples}


def mix(languages: Counter[str]) -> dict[str, dict[str, float]]:
    """Each language's share in percent, next to the paper's Table 1, whose "Others" takes all the rest."""
    paper = params.read(PAPER)["language_percent"]
    groups = Counter[str]()
    for language, rows in languages.items():
        groups[language if language in paper else "Others"] += rows
    total = languages.total()
    return {name: {"here": round(100 * groups[name] / total, 2), "paper": percent} for name, percent in paper.items()}


def _funnel(tables: Iterable[tuple[str, pa.Table]]) -> str:
    counts = Counter[str]()
    for name, rows in tables:
        counts[name] += len(rows)
    return ", ".join(f"{name} {rows}" for name, rows in counts.items() if rows)


def _everything(row: rules.Row) -> str:
    return f"{row['docstring']}\n{row['code']}"
