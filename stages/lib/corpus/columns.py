"""Rows of any table as source files: the columns that a source's `columns` name, of Parquet and of JSON lines.

Both are read a batch, or a line, at a time, from any binary stream. What is read of a row is limited, so that one of
many gigabytes ends as a line in set_aside.jsonl.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib.corpus import functions
from stages.lib.corpus.archives import MOST_BYTES
from stages.lib.corpus.codesearchnet import SetAside
from stages.lib.corpus.reader import File, is_selected
from stages.lib.corpus.sources import Columns, Hub, Table
from stages.lib.errors import BadInput

PARQUET = (".parquet",)
LINES = tuple(f"{name}{packed}" for name in (".jsonl", ".ndjson", ".json") for packed in ("", ".gz", ".zst"))
LINE_BYTES = 16_000_000  # the longest line that is read: 1 MB of code, escaped, and much else
GROUP_BYTES = 1_000_000_000  # of these columns in one row group, unpacked; beyond it rows must be small on average
BATCH_ROWS, BATCH_BYTES = 128, 16_000_000  # that are unpacked at once
FIRST = 1000  # rows in which a column of JSON lines must turn up
_BUFFER = 1 << 16
_ABSENT = object()
_DAMAGE = (pa.ArrowException, gzip.BadGzipFile, zlib.error, EOFError)
_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
         pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)  # fmt: skip
Entry = File | SetAside


def is_table(name: str) -> bool:
    """Whether a file of this name is one that `read` reads."""
    return name.endswith(PARQUET + LINES)


def check(stream: IO[bytes], file: str, columns: Columns) -> None:
    """Raise `BadInput` for a table that is cut off or damaged at its start, or lacks one of `columns`."""
    try:
        if file.endswith(PARQUET):
            _check_schema(pq.ParquetFile(stream).schema_arrow, file, columns)
        else:
            _check_lines(stream, file, columns)
    except OSError as error:
        raise BadInput(f"{file} is damaged or cut off: {_damage(error)}; write it again, or remove it") from None
    except _DAMAGE as error:
        raise BadInput(f"{file} is damaged or cut off: {error}; write it again, or remove it") from None


def read(stream: IO[bytes], file: str, source: Table | Hub) -> Iterator[Entry]:
    """The rows of the table `stream`, in their order, without those whose language or path `source` does not take.

    What cannot be read is set aside under the name `file` and the row's number from 1. Errors of a network are raised.
    """
    rows = _parquet(stream, file, source.columns) if file.endswith(PARQUET) else _lines(stream, file)
    for line, row in rows:
        entry = row if isinstance(row, SetAside) else _entry(row, file, line, source)
        if entry is not None:
            yield entry


def _entry(row: Mapping[str, Any], file: str, line: int, source: Table | Hub) -> Entry | None:
    columns = source.columns
    code, path = _text(row, columns.code), _text(row, columns.path)
    if not code:
        return SetAside(file, line, f"no text in column {columns.code}")
    if columns.path and not path:
        return SetAside(file, line, f"no text in column {columns.path}")
    place = path.decode(errors="replace") or f"{file}#{line}"
    said = _text(row, columns.language).decode(errors="replace")
    language = source.language or (functions.tagged(said) if said else functions.language_of(place))
    if not language:
        return File(place, "", b"", skipped="of no known language")
    if (source.take is not None and language not in source.take) or not is_selected(place, source.only):
        return None
    repository = _text(row, columns.repository).decode(errors="replace")
    return File(place, language, code[: MOST_BYTES + 1], repository, _license(_value(row, columns.license)))


def _license(value: Any) -> str:
    """One expression of all that the column holds: of a list each must hold."""
    each = (_bytes(one).decode(errors="replace").strip() for one in (value if isinstance(value, list) else [value]))
    names = [name for name in each if name]
    return " AND ".join(f"({name})" if " " in name else name for name in names) if len(names) > 1 else "".join(names)


def _text(row: Mapping[str, Any], column: str | None) -> bytes:
    return _bytes(_value(row, column))


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return value if isinstance(value, bytes) else b""


def _value(row: Mapping[str, Any], column: str | None, otherwise: Any = None) -> Any:
    """The column's value; of nested columns by its name with dots."""
    if column is None or column in row:
        return row[column] if column else otherwise
    value: Any = row
    for part in column.split("."):
        value = value.get(part, otherwise) if isinstance(value, Mapping) else otherwise
    return value


def _named(columns: Columns) -> list[str]:
    return [name for name in columns.model_dump().values() if name]


# JSON lines


def _check_lines(stream: IO[bytes], file: str, columns: Columns) -> None:
    missing, held, rows, problem = _named(columns), set[str](), 0, ""
    for _, row in islice(_lines(stream, file), FIRST):
        if isinstance(row, SetAside):
            problem = problem or f"{file}, line {row.line}: {row.reason}"
            continue
        rows += 1
        held |= row.keys()
        missing = [name for name in missing if _value(row, name, _ABSENT) is _ABSENT]
        if not missing:
            return
    if rows:
        raise _lacks(file, missing[0], sorted(held), f" in its first {rows} rows")
    if problem:
        raise BadInput(problem)


def _lines(stream: IO[bytes], file: str) -> Iterator[tuple[int, dict[str, Any] | SetAside]]:
    line = 0
    try:
        with _unpacked(stream, file) as lines:
            while data := lines.readline(LINE_BYTES + 1):
                line += 1
                if len(data) > LINE_BYTES:
                    while data and not data.endswith(b"\n"):
                        data = lines.readline(LINE_BYTES)
                    yield line, SetAside(file, line, f"a line of more than {LINE_BYTES:,} bytes")
                elif data.strip():
                    yield line, _decode(data, file, line)
    except (*_DAMAGE, OSError) as error:
        yield line + 1, SetAside(file, line + 1, f"damaged or cut off from here on: {_damage(error)}")


def _unpacked(stream: IO[bytes], file: str) -> IO[bytes]:
    if file.endswith(".gz"):
        return gzip.open(stream)  # type: ignore[return-value]
    if file.endswith(".zst"):
        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd"), _BUFFER)
    return stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream, _BUFFER)  # type: ignore[type-var]


def _decode(data: bytes, file: str, line: int) -> dict[str, Any] | SetAside:
    try:
        row = json.loads(data)
    except UnicodeDecodeError as error:
        return SetAside(file, line, f"not UTF-8: {error.reason} at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return SetAside(file, line, f"not JSON: {error}")
    return row if isinstance(row, dict) else SetAside(file, line, f"not a JSON object but {type(row).__name__}")


# Parquet


def _check_schema(schema: pa.Schema, file: str, columns: Columns) -> None:
    for name in _named(columns):
        try:
            kind = _type_of(schema, name)
        except KeyError:
            raise _lacks(file, name, schema.names) from None
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        listed = name == columns.license and (pa.types.is_list(kind) or pa.types.is_large_list(kind))
        if not listed and not any(is_text(kind) for is_text in _TEXT):
            raise BadInput(f"{file}: column {name} holds {kind}, no text; name another in collect.sources")


def _type_of(schema: pa.Schema, name: str) -> pa.DataType:
    if name in schema.names:
        return schema.field(name).type
    first, *rest = name.split(".")
    kind = schema.field(first).type
    for part in rest:
        if not pa.types.is_struct(kind) or kind.get_field_index(part) < 0:
            raise KeyError(name)
        kind = kind.field(part).type
    return kind


def _parquet(stream: IO[bytes], file: str, columns: Columns) -> Iterator[tuple[int, dict[str, Any] | SetAside]]:
    line = 0
    try:
        parquet = pq.ParquetFile(stream, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True)
        _check_schema(parquet.schema_arrow, file, columns)
    except BadInput as error:
        yield 1, SetAside(file, 1, str(error).removeprefix(f"{file}: "), max(1, parquet.metadata.num_rows))
        return
    except (*_DAMAGE, OSError) as error:
        yield 1, SetAside(file, 1, f"damaged or cut off: {_damage(error)}")
        return
    for number in range(parquet.num_row_groups):
        yield from _group(parquet, number, file, line, columns)
        line += parquet.metadata.row_group(number).num_rows


def _group(
    parquet: pq.ParquetFile, number: int, file: str, before: int, columns: Columns
) -> Iterator[tuple[int, dict[str, Any] | SetAside]]:
    """The rows of a row group that has so many rows `before` it. The format knows the size of a column, not of its
    rows: a group of more than GROUP_BYTES is read only if its rows are small on average."""
    rows, size = parquet.metadata.row_group(number).num_rows, _size(parquet, number, columns)
    if size > GROUP_BYTES and size > MOST_BYTES * rows:
        reason = f"a row group of {size:,} bytes, more than {MOST_BYTES:,} a row; write smaller rows"
        yield before + 1, SetAside(file, before + 1, reason, rows)
        return
    at_once = max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(1, size)))
    done = 0
    try:
        for batch in parquet.iter_batches(at_once, row_groups=[number], columns=_named(columns)):
            held = {name: _listed(batch.column(name)) for name in batch.schema.names}
            for place in range(batch.num_rows):
                yield before + done + 1, {name: values[place] for name, values in held.items()}
                done += 1
    except (*_DAMAGE, OSError) as error:
        line = before + done + 1
        yield line, SetAside(file, line, f"damaged from here to the row group's end: {_damage(error)}", rows - done)


def _size(parquet: pq.ParquetFile, number: int, columns: Columns) -> int:
    """Bytes of these columns in the row group, unpacked but encoded."""
    group, names = parquet.metadata.row_group(number), _named(columns)
    chunks = [group.column(place) for place in range(group.num_columns)]
    wanted = (chunk for chunk in chunks if any(f"{chunk.path_in_schema}.".startswith(f"{name}.") for name in names))
    return sum(chunk.total_uncompressed_size for chunk in wanted)


def _listed(column: pa.Array) -> list[Any]:
    """The values; text as bytes, which nobody has decoded yet."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if any(is_text(column.type) for is_text in _TEXT):
        column = column.cast(pa.large_binary())
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [_value_of(one) for one in column]


def _value_of(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return None


def _damage(error: Exception) -> Exception:
    """The error, unless it is one of a network: pyarrow and zstd say OSError itself of damage."""
    if isinstance(error, OSError) and type(error) not in (OSError, gzip.BadGzipFile):
        raise error
    return error


def _lacks(file: str, name: str, held: list[str], where: str = "") -> BadInput:
    return BadInput(
        f"{file} has no column {name!r}{where} (it has {', '.join(held)}); correct the columns of its source"
    )
