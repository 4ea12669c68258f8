"""Some of a dataset's rows on a page, for people: no choice but their hash's."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from stages.lib import records
from stages.lib.records import Row

COUNT = 10
FENCE = "````"  # a row's text may hold three


def write(to: Path, splits: list[Path]) -> None:
    """Write the page `to` of the first rows of the files `splits`, in the order of the SHA-256 of their ids."""
    rows = [row for split in splits if split.is_file() for row in records.read_lines(split)]
    rows.sort(key=lambda row: hashlib.sha256(row["id"].encode()).hexdigest())
    to.write_text("\n".join(_lines(rows[:COUNT], len(rows))), encoding="utf-8")


def _lines(rows: list[Row], of: int) -> Iterator[str]:
    yield f"# {len(rows)} of {of} rows, in the order of the SHA-256 of their ids\n"
    for number, row in enumerate(rows, start=1):
        yield f"## {number}. {row['task'].capitalize()}, {row['language']}\n"
        yield f"From {row['source']}, {row['path']} ({row['license']}); round {row['round']}, id {row['id'][:12]}.\n"
        for title in ("instruction", "input", "output"):
            if row[title]:
                yield f"**{title.capitalize()}**\n\n{FENCE}\n{row[title]}\n{FENCE}\n"
        if row["tests"]:
            yield f"**Tests**\n\n{FENCE}\n" + "\n".join(row["tests"]) + f"\n{FENCE}\n"
