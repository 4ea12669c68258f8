"""collect: extracts functions from source trees, packages, git repositories, tables and CodeSearchNet's files.

Reads     collect.sources of params.yaml (docs/corpus.md): folders and tables on this machine, packages at a pinned
          version and sha256, commits, datasets of the hub at a revision, CodeSearchNet's published files
Writes    data/functions/functions.parquet   one row per function, with docstring and code apart
          data/functions/set_aside.jsonl     unreadable rows, functions and files: file, line, reason
          metrics/collect.json               rows by language and source, set aside, files skipped

Files that nobody wrote by hand (minified, generated, larger than 1 MB) are skipped and counted. Unreadable rows are set
aside; the run stops if they exceed collect.max_bad_share, or if no function is found.

Sources are read piece by piece, by several processes; each piece is saved: a killed run resumes after the last one, and
machines can split them (stages/lib/shards.py).
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import pyarrow.compute as pc
from pydantic import Field

from stages.lib import artifacts, checkpoint, params, progress, records, shards, workers
from stages.lib.corpus import reader
from stages.lib.corpus.intake import Intake, prefetch
from stages.lib.corpus.reader import Extract, Piece, Save
from stages.lib.corpus.sources import CodeSearchNet, Shape, Source
from stages.lib.errors import BadInput

log = logging.getLogger("tidemill.collect")

CODE = (Path(__file__), Path(reader.__file__).parent)  # what decides a row
AT_ONCE = 4  # pieces of a source that are read before other processes are started


class Params(params.Section):
    """The `collect` section of params.yaml."""

    sources: Annotated[list[Source], Field(min_length=1)]
    shape: Shape
    max_bad_share: Annotated[float, Field(ge=0, le=1)]
    workers: Annotated[int, Field(ge=1)] | None = Field(exclude=True)


def main() -> None:
    knobs = params.load("collect", Params)
    reader.compile_names(knobs.shape.omit_names)
    with progress.work("downloading what is not here"):
        prefetch(knobs.sources)
    saves = checkpoint.folder("collect", [], {**knobs.result, "code": checkpoint.code(*CODE)})
    with progress.work("reading", len(knobs.sources), "sources", even=False) as work:
        intakes = list(take_in(knobs, saves, work))
    if shards.is_one():
        return
    check(intakes, knobs.max_bad_share)
    with artifacts.create("data/functions", stage="collect", params=knobs.result) as out:
        facts = write_rows(out, intakes)
        write_set_aside(out / "set_aside.jsonl", intakes)
        artifacts.write_metrics("collect", facts | count_rest(intakes))
    checkpoint.discard(saves)


def take_in(knobs: Params, saves: Path, work: progress.Work) -> Iterator[Intake]:
    """Each source, read; of a shard only its pieces. A source of files with a `take` is read by this process alone and
    is no shard's, since only who has counted its rows knows where to stop."""
    numbers = count()
    for number, source in enumerate(knobs.sources):
        alone = source.take is not None and not isinstance(source, CodeSearchNet)
        if shards.is_one() and alone:
            continue

        def extract(pieces: Iterable[Piece], number: int = number, alone: bool = alone) -> Iterator[Save]:
            mine = (
                (reader.save_name(number, piece.fingerprint), piece)
                for piece in pieces
                if shards.takes(next(numbers) if piece.share is None else piece.share)
            )
            for save in workers.results(Extract(knobs.shape, saves), mine, 1 if alone else knobs.workers, AT_ONCE):
                if save.fresh:
                    log.debug("read %s", save.path.name)
                yield save
                checkpoint.raise_if_stop_requested()

        one = Intake(source, extract, saves, number)
        work.add()
        work.note(functions=f"{one.count:,}", last=source.name)
        log.debug("%s: %d functions", source.name, one.count)
        yield one


def check(intakes: list[Intake], max_bad_share: float) -> None:
    """Raise `BadInput` if more than `max_bad_share` of the rows are unreadable, or no row is left."""
    rows, bad = sum(one.count for one in intakes), _bad_rows(intakes)
    if bad > max_bad_share * (rows + bad):
        first = next(entry for one in intakes for entry in one.set_aside)
        raise BadInput(
            f"{bad} of {rows + bad} rows are unreadable, more than collect.max_bad_share ({max_bad_share:g}); "
            f"the first: {first['source']}, {first['file']}, line {first['line']}: {first['reason']}; "
            "fix or remove the file, or raise the share in params.yaml"
        )
    if not rows:
        raise BadInput("the corpus is empty: collect.sources yields no function; check their `take` and `only`")


def write_rows(out: Path, intakes: list[Intake]) -> dict[str, Any]:
    """Write functions.parquet, and say what is in it."""
    file = records.Parts(out, "functions.parquet", records.FUNCTION)
    counts = {name: Counter[str]() for name in ("language", "source", "license")}
    documented = 0
    for rows in (rows for one in intakes for rows in one.rows()):
        file.add(rows)
        for name, counter in counts.items():
            counter.update({entry["values"]: entry["counts"] for entry in rows[name].value_counts().to_pylist()})
        documented += pc.sum(pc.not_equal(rows["docstring"], "")).as_py()
    file.close()
    return {
        "rows": file.rows,
        "rows_by_language": dict(sorted(counts["language"].items())),
        "rows_by_source": dict(sorted(counts["source"].items())),
        "rows_without_license": counts["license"][""],
        "rows_with_docstring": documented,
    }


def write_set_aside(file: Path, intakes: list[Intake]) -> None:
    lines = (json.dumps(entry, ensure_ascii=False) + "\n" for one in intakes for entry in one.set_aside)
    with file.open("w", encoding="utf-8") as out:
        out.writelines(lines)


def count_rest(intakes: list[Intake]) -> dict[str, Any]:
    reasons = Counter(entry["reason"].partition(":")[0] for one in intakes for entry in one.set_aside)
    files, functions = Counter[str](), Counter[str]()
    for one in intakes:
        files.update(one.skipped_files)
        functions.update(one.skipped_functions)
    return {
        "set_aside_rows": _bad_rows(intakes),
        "set_aside_by_reason": dict(sorted(reasons.items())),
        "skipped_files": dict(sorted(files.items())),
        "skipped_functions": dict(sorted(functions.items())),
    }


def _bad_rows(intakes: list[Intake]) -> int:
    """How many rows were set aside; a file that cannot be read at all counts as one at least."""
    return sum(entry["rows"] for one in intakes for entry in one.set_aside)
