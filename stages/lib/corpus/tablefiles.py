"""The tables of a source of kind `table`: a Parquet or JSONL file on this machine, or a folder of them."""

from collections.abc import Iterator
from pathlib import Path

from stages.lib.corpus import columns
from stages.lib.corpus.columns import Entry
from stages.lib.corpus.sources import Table
from stages.lib.errors import BadInput


def check(source: Table) -> None:
    """Raise `BadInput` if there is no table, or one is cut off or lacks a column."""
    for file, _ in _files(source):
        with file.open("rb") as stream:
            columns.check(stream, str(file), source.columns)


def read(source: Table) -> Iterator[Entry]:
    """The rows of all its files, in the order of their names."""
    for file, inside in _files(source):
        with file.open("rb") as stream:
            yield from columns.read(stream, inside, source)


def _files(source: Table) -> list[tuple[Path, str]]:
    """Each file and its name inside the source; hidden ones and those in hidden folders are left out."""
    path = Path(source.path).expanduser()
    if path.is_file() and columns.is_table(path.name):
        return [(path, path.name)]
    if not path.exists():
        raise BadInput(f"source {path} does not exist; correct collect.sources in params.yaml")
    found = [(file, file.relative_to(path)) for file in sorted(path.rglob("*")) if columns.is_table(file.name)]
    visible = [(file, inside.as_posix()) for file, inside in found if not any(p.startswith(".") for p in inside.parts)]
    if not visible:
        raise BadInput(f"source {path}: no {', '.join(columns.PARQUET + columns.LINES)}")
    return visible
