"""CodeSearchNet's published files: gzipped JSON lines and parquet, under its own column names.

Husain et al., "CodeSearchNet Challenge" (2019). The first release names its columns `repo`, `path`,
`func_name`, `original_string`, `code`, `docstring`; the hub's copy `repository_name`,
`func_path_in_repository`, `func_name`, `whole_func_string`, `func_code_string`,
`func_documentation_string`. Both are read.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib.corpus.functions import function_id, tagged, without_docstring
from stages.lib.corpus.names import used_imports
from stages.lib.errors import BadInput

ROWS_AT_ONCE = 1024  # of a parquet file, held in memory
PATTERNS = ("*.jsonl.gz", "*.parquet")
_COLUMNS = {
    "repository": ("repo", "repository_name"),
    "path": ("path", "func_path_in_repository"),
    "name": ("func_name",),
    "code": ("code", "func_code_string", "original_string", "whole_func_string"),
    "docstring": ("docstring", "func_documentation_string"),
    "language": ("language",),
}
_URL = ("url", "func_code_url")
_READ = {name for names in (*_COLUMNS.values(), _URL) for name in names}
_LINE = re.compile(r"#L(\d+)")


@dataclass(frozen=True)
class SetAside:
    """`rows` rows, from `line` (1-based) of `file` on, that could not be read, and why."""

    file: str
    line: int
    reason: str
    rows: int = 1


# A published row as it stands: file, line from 1, and the line or the parquet row, or why it cannot be read.
Raw = tuple[str, int, bytes | dict[str, Any] | SetAside]


def read_files(path: Path) -> Iterator[Raw]:
    """The rows in the file `path`, or in the files below the folder `path`, as they stand there: `to_function` makes
    functions of them.

    Raises `BadInput` if `path` does not exist, or is or holds none of these files.
    """
    if not path.exists():
        raise BadInput(f"CodeSearchNet source {path} does not exist; correct collect.sources in params.yaml")
    folder, found = (path, path.rglob("*")) if path.is_dir() else (path.parent, iter([path]))
    files = sorted(file for file in found if any(file.match(pattern) for pattern in PATTERNS))
    if not files:
        raise BadInput(
            f"{path}: no *.jsonl.gz and no *.parquet, as CodeSearchNet has them; unpack it if it is an archive"
        )
    for file in files:
        inside = file.relative_to(folder).as_posix()
        rows = _read_parquet(file, inside) if file.suffix == ".parquet" else _read_lines(file, inside)
        yield from ((inside, line, row) for line, row in rows)


def to_function(raw: Raw, source: str) -> dict[str, Any] | SetAside:
    """The row of FUNCTION that a published row says, or why there is none; `source` goes before its repository."""
    file, line, row = raw
    if isinstance(row, bytes):
        row = _decode(row, file, line)
    return row if isinstance(row, SetAside) else _function(row, file, line, source)


def is_published(file: Path) -> bool:
    """Whether `file` has CodeSearchNet's columns."""
    rows = _read_parquet(file, file.name) if file.suffix == ".parquet" else _read_lines(file, file.name)
    line, first = next(rows, (1, None))
    if isinstance(first, bytes):
        first = _decode(first, file.name, line)
    return isinstance(first, dict) and not _missing(list(first))


def download(name: str, revision: str) -> Path:
    """The folder with the files of the hub's dataset `name` at `revision`, in the hub's own cache.

    Raises `BadInput` if the hub does not answer or has no such dataset or revision.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        found = snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=list(PATTERNS))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise BadInput(f"dataset {name} at {revision} cannot be had from the hub: {error}") from None
    return Path(found)


def _read_lines(file: Path, inside: str) -> Iterator[tuple[int, bytes | SetAside]]:
    line = 0
    try:
        with gzip.open(file) as lines:
            for line, data in enumerate(lines, start=1):
                yield line, data
    except (gzip.BadGzipFile, zlib.error) as error:
        yield line + 1, SetAside(inside, line + 1, f"not gzip, or damaged from here on: {error}")
    except EOFError:
        yield line + 1, SetAside(inside, line + 1, "the file is cut off here")


def _decode(data: bytes, file: str, line: int) -> dict[str, Any] | SetAside:
    try:
        row = json.loads(data.decode())
    except UnicodeDecodeError as error:
        return SetAside(file, line, f"not UTF-8: {error.reason} at byte {error.start}")
    except ValueError as error:
        return SetAside(file, line, f"not JSON: {error}")
    return row if isinstance(row, dict) else SetAside(file, line, f"not a JSON object but {type(row).__name__}")


def _read_parquet(file: Path, inside: str) -> Iterator[tuple[int, dict[str, Any] | SetAside]]:
    line = 0
    try:
        parquet = pq.ParquetFile(file)
        if missing := _missing(parquet.schema_arrow.names):
            yield 1, SetAside(inside, 1, f"no column {missing}", rows=max(1, parquet.metadata.num_rows))
            return
        wanted = [name for name in parquet.schema_arrow.names if name in _READ]
        for batch in parquet.iter_batches(ROWS_AT_ONCE, columns=wanted):
            yield from enumerate(_to_dicts(batch, inside, line + 1), start=line + 1)
            line += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        yield line + 1, SetAside(inside, line + 1, f"not parquet, or damaged from here on: {error}")


def _to_dicts(rows: pa.RecordBatch, file: str, line: int) -> list[dict[str, Any] | SetAside]:
    """The rows, of which the first has the number `line`; alone where one of them cannot be decoded."""
    try:
        return list(rows.to_pylist())
    except UnicodeDecodeError as error:
        if rows.num_rows == 1:
            return [SetAside(file, line, f"not UTF-8: {error.reason} at byte {error.start}")]
        return [one for row in range(rows.num_rows) for one in _to_dicts(rows.slice(row, 1), file, line + row)]


def _missing(columns: list[str]) -> str | None:
    absent = (names for names in _COLUMNS.values() if not set(names) & set(columns))
    return next((" or ".join(names) for names in absent), None)


def _function(row: dict[str, Any], file: str, line: int, source: str) -> dict[str, Any] | SetAside:
    if missing := _missing(list(row)):
        return SetAside(file, line, f"no column {missing}")
    values = {key: next(row[name] for name in names if name in row) for key, names in _COLUMNS.items()}
    if wrong := next((key for key, value in values.items() if not isinstance(value, str)), None):
        return SetAside(file, line, f"{wrong} is no text but {type(values[wrong]).__name__}")
    try:
        "".join(values.values()).encode()
    except UnicodeEncodeError as error:
        return SetAside(file, line, f"no text: {error.reason}")
    language = tagged(values["language"])
    if not language:
        return SetAside(file, line, f"unknown language {values['language']!r}")
    try:
        code = without_docstring(values["code"], language)
        imports = used_imports((), code, language)  # the files hold functions alone
    except Exception as error:  # whatever it is, it is this function's alone
        return SetAside(file, line, f"function cannot be read: {error!r}")
    url = next((row[name] for name in _URL if row.get(name)), "")
    found = _LINE.search(url)
    return {
        "id": function_id(language, code),
        "language": language,
        "name": values["name"],
        "code": code,
        "docstring": values["docstring"],
        "source": f"{source}/{values['repository']}",
        "path": values["path"],
        "line": int(found.group(1)) if found else 1,
        "license": "",
        "imports": imports,
    }
