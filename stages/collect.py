"""collect: extracts functions from source trees, package archives and CodeSearchNet's files.

Reads     collect.sources of params.yaml (docs/corpus.md): folders on this machine, packages at a pinned
          version and sha256, CodeSearchNet's published files
Writes    data/functions/functions.parquet   one row per function, with docstring and code apart
          data/functions/set_aside.jsonl     unreadable rows, functions and files: file, line, reason
          metrics/collect.json               rows by language and source, set aside, files skipped

Files that nobody wrote by hand (minified, generated, larger than 1 MB) are skipped and counted. Unreadable rows are set
aside; the run stops if they exceed collect.max_bad_share, or if no function is found.
"""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from stages.lib import artifacts, params, progress, records
from stages.lib.corpus.reader import Reader, prefetch
from stages.lib.corpus.sources import Shape, Source
from stages.lib.errors import BadInput

log = logging.getLogger("tidemill.collect")


class Params(params.Section):
    """The `collect` section of params.yaml."""

    sources: Annotated[list[Source], Field(min_length=1)]
    shape: Shape
    max_bad_share: Annotated[float, Field(ge=0, le=1)]


def main() -> None:
    knobs = params.load("collect", Params)
    with progress.work("downloading what is not here"):
        prefetch(knobs.sources)
    reader = Reader(knobs.shape)
    with progress.work("reading", len(knobs.sources), "sources", even=False) as work:
        for source in knobs.sources:
            before = len(reader.rows)
            reader.read(source)
            work.add()
            work.note(functions=f"{len(reader.rows):,}", last=source.name)
            log.debug("%s: %d functions", source.name, len(reader.rows) - before)
    check(reader, knobs.max_bad_share)
    with artifacts.create("data/functions", stage="collect", params=knobs.result) as out:
        records.write(out / "functions.parquet", reader.rows, records.FUNCTION)
        write_set_aside(out / "set_aside.jsonl", reader.set_aside)
        artifacts.write_metrics("collect", count(reader))


def check(reader: Reader, max_bad_share: float) -> None:
    """Raise `BadInput` if more than `max_bad_share` of the rows are unreadable, or no row is left."""
    total = len(reader.rows) + reader.bad_rows
    if reader.bad_rows > max_bad_share * total:
        first = reader.set_aside[0]
        raise BadInput(
            f"{reader.bad_rows} of {total} rows are unreadable, more than collect.max_bad_share ({max_bad_share:g}); "
            f"the first: {first['source']}, {first['file']}, line {first['line']}: {first['reason']}; "
            "fix or remove the file, or raise the share in params.yaml"
        )
    if not reader.rows:
        raise BadInput("the corpus is empty: collect.sources yields no function; check their `take` and `only`")


def write_set_aside(file: Path, entries: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")


def count(reader: Reader) -> dict[str, Any]:
    return {
        "rows": len(reader.rows),
        "rows_by_language": _sorted(row["language"] for row in reader.rows),
        "rows_by_source": _sorted(row["source"] for row in reader.rows),
        "rows_without_license": sum(not row["license"] for row in reader.rows),
        "rows_with_docstring": sum(bool(row["docstring"]) for row in reader.rows),
        "set_aside_rows": reader.bad_rows,
        "set_aside_by_reason": _sorted(entry["reason"].partition(":")[0] for entry in reader.set_aside),
        "skipped_files": dict(sorted(reader.skipped_files.items())),
        "skipped_functions": dict(sorted(reader.skipped_functions.items())),
    }


def _sorted(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
