"""Source files as rows of a table: Parquet, or JSON lines (gzipped or not), a row a file, under the usual column names.

Such are The Stack and its like. The columns needed are the file's text and its path, whose suffix gives the language; a
repository's name, where there is one, goes before the path.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib.errors import BadInput

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz")
TEXT = ("content", "code", "text", "source")
PATH = ("path", "max_stars_repo_path", "file_path", "filename", "file_name")
REPOSITORY = ("repo", "repo_name", "repository", "repository_name", "max_stars_repo_name")


def is_table(file: Path) -> bool:
    """Whether the file's name is that of a table."""
    return file.name.endswith(SUFFIXES)


def problem(file: Path) -> str:
    """What keeps `file` from being read as a table of source files; "" if nothing does."""
    try:
        first = next(_rows(file), None)
    except (pa.ArrowException, OSError, ValueError, EOFError, zlib.error) as error:
        return f"cannot be read: {error}"
    if not isinstance(first, dict):
        return "has no rows" if first is None else "its rows are no JSON objects"
    for what, names in (("text of a source file", TEXT), ("path of that file", PATH)):
        if not set(names) & first.keys():
            held = ", ".join(map(str, first))
            return (
                f"no column with the {what}: name it {names[0]} (or {', '.join(names[1:])}); there are {held}; "
                "a source of kind `table` names its own (docs/corpus.md)"
            )
    return ""


def read(file: Path) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every source file in the table, in the order of its rows; a row without text is left out.

    Raises `BadInput` for a table that lacks a column or is damaged.
    """
    if found := problem(file):
        raise BadInput(f"source {file}: {found}")
    try:
        for row in _rows(file):
            text, path = _first(row, TEXT), _first(row, PATH)
            if text and path:
                repository = _first(row, REPOSITORY)
                yield f"{repository}/{path}" if repository else path, text.encode("utf-8", "surrogatepass")
    except (pa.ArrowException, OSError, ValueError, EOFError, zlib.error) as error:
        raise BadInput(f"source {file} is damaged: {error}") from None


def _rows(file: Path) -> Iterator[Any]:
    if file.suffix == ".parquet":
        parquet = pq.ParquetFile(file)
        names = [name for name in parquet.schema_arrow.names if name in (*TEXT, *PATH, *REPOSITORY)]
        wanted = names if len(names) > 1 else parquet.schema_arrow.names
        for batch in parquet.iter_batches(1000, columns=wanted):
            yield from batch.to_pylist()
        return
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def _first(row: Any, names: tuple[str, ...]) -> str:
    found = (row[name] for name in names if isinstance(row, dict) and isinstance(row.get(name), str))
    return next(found, "")
