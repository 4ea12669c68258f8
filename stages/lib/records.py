"""The record types that stages exchange, as Arrow schemas, with readers and writers."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib.artifacts import canonical
from stages.lib.errors import BadInput

Row = dict[str, Any]  # one record, as a plain dict
PART_ROWS = 131_072  # in one file of a table that is written in parts

# One function of raw code. `id` is sha256(language, NUL, code): equal code has one id everywhere.
FUNCTION = pa.schema(
    [
        ("id", pa.string()),
        ("language", pa.string()),
        ("name", pa.string()),
        ("code", pa.string()),  # without its docstring
        ("docstring", pa.string()),  # "" where there is none
        ("source", pa.string()),  # the package, repository or folder, with its version
        ("path", pa.string()),  # inside the source
        ("line", pa.int32()),  # 1-based
        ("license", pa.string()),  # SPDX identifier, "" where unknown
        ("imports", pa.string()),  # the import statements that the code uses, a line each
    ]
)

# The teacher's instance for one function and task (the paper's four output keys and their lineage).
CANDIDATE = pa.schema(
    [
        ("id", pa.string()),  # sha256 over the function, the task and the first request
        ("round", pa.int32()),
        ("function_id", pa.string()),
        ("task", pa.string()),  # as asked
        ("language", pa.string()),  # of the function
        ("target_language", pa.string()),  # of the solution; differs for translation only
        ("task_name", pa.string()),
        ("instruction", pa.string()),
        ("information", pa.string()),
        ("solution", pa.string()),
        (
            "answer",
            pa.string(),
        ),  # what the teacher wrote of these, JSON, and the bug that was planted; the task fills in the rest
        ("examples", pa.list_(pa.string())),  # ids of the pool's examples in the prompt
        ("request", pa.string()),  # the journal key of the request that made it
        ("tests", pa.list_(pa.string())),  # Python asserts for the solution, observed or the teacher's; may be none
        ("style", pa.string()),  # the wording asked for, one of the task's styles; "" if none was
    ]
)

# Fields that a candidate, its verdict and its dataset row have only if a run asks for them: a file without one has no
# such column.
OPTIONAL = pa.schema(
    [
        ("reasoning", pa.string()),  # what the teacher thought before the answer, if generate.keep_reasoning
        ("question", pa.string()),  # the id of the first answer to its instruction, if generate.answers is above 1
    ]
)

# One rule applied to one candidate. `kind` is "check" (no model), "execution" (its tests were run) or "judge".
RULING = pa.struct([("rule", pa.string()), ("kind", pa.string()), ("passed", pa.bool_()), ("reason", pa.string())])

# A candidate with its rulings. `judge_request` "" means that only checks decided.
VERDICT = pa.schema(
    [
        *CANDIDATE,
        ("rulings", pa.list_(RULING)),
        ("passed", pa.bool_()),
        ("judge_request", pa.string()),  # the first judge's
        ("execution", pa.string()),  # "passed" or what went wrong when the tests were run, "" if they were not
    ]
)

# One panel judge's rulings on one candidate.
BALLOT = pa.schema(
    [
        ("id", pa.string()),  # the candidate's
        ("judge", pa.int32()),  # from 1, in the order of the panel
        ("model", pa.string()),
        ("request", pa.string()),
        ("rulings", pa.list_(RULING)),
    ]
)

# An instance of known quality from the judge's audit, with its rulings. Never a row of the dataset.
PLANT = pa.schema(
    [
        ("id", pa.string()),
        ("of", pa.string()),  # the id of the seed or candidate that it was made from
        ("origin", pa.string()),  # "seed" or "candidate"
        ("kind", pa.string()),  # "good", or what was done to it
        ("breaks", pa.list_(pa.string())),  # the rules that should fail it
        ("drawn", pa.bool_()),  # whether it counts for the judge; otherwise only checks ruled on it
        ("task", pa.string()),
        ("language", pa.string()),
        ("target_language", pa.string()),
        ("instruction", pa.string()),
        ("information", pa.string()),
        ("solution", pa.string()),
        ("rulings", pa.list_(RULING)),  # the panel's vote
    ]
)

# A row of the instruction dataset.
INSTANCE = pa.schema(
    [
        ("id", pa.string()),  # the candidate's
        ("task", pa.string()),
        ("language", pa.string()),
        ("instruction", pa.string()),
        ("input", pa.string()),
        ("output", pa.string()),
        ("round", pa.int32()),
        ("function_id", pa.string()),
        ("source", pa.string()),
        ("path", pa.string()),
        ("license", pa.string()),
        ("request", pa.string()),
        ("judge_request", pa.string()),
        ("tests", pa.list_(pa.string())),  # Python asserts that the output passed when they were run; may be none
    ]
)

# Every exchange with an endpoint that a stage used; `make trace` shows them.
EXCHANGE = pa.schema(
    [
        ("request", pa.string()),  # the journal's key: sha256 of the whole request
        ("model", pa.string()),
        ("body", pa.string()),  # the request, canonical JSON
        ("response", pa.string()),  # the text that came back
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
    ]
)

# What a model thought before an answer, beside EXCHANGE; only replies with reasoning have a row.
REASONING = pa.schema(
    [
        ("request", pa.string()),
        ("reasoning", pa.string()),  # "" where the endpoint counts it and does not tell it
        ("reasoning_tokens", pa.int64()),  # of the completion's
    ]
)

COMPLETION = pa.schema(
    [
        ("task_id", pa.string()),
        ("sample", pa.int32()),
        ("prompt", pa.string()),
        ("completion", pa.string()),  # as written, including the match of the stop pattern that ended it
        ("tokens", pa.int32()),
        ("finished", pa.bool_()),  # false if cut off at the maximum number of tokens
    ]
)

SCORE = pa.schema(
    [
        ("task_id", pa.string()),
        ("sample", pa.int32()),
        ("verdict", pa.string()),  # passed, or the sandbox's word for what happened
        ("detail", pa.string()),  # the end of stderr
    ]
)


def write(path: Path, rows: Iterable[dict[str, Any]] | pa.Table, schema: pa.Schema) -> None:
    """Write `rows` as parquet under `schema`, the same bytes for the same rows, and with the fields of `OPTIONAL` that
    the rows have."""
    if isinstance(rows, pa.Table):
        table = rows.select(schema.names).cast(schema)
    else:
        rows = list(rows)
        further = [field for field in OPTIONAL if field.name not in schema.names]
        found = [field for field in further if any(field.name in row for row in rows)]
        table = pa.Table.from_pylist(rows, pa.schema([*schema, *found]))
    pq.write_table(table.replace_schema_metadata(None), path, compression="zstd")


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write `rows` as JSON lines, canonical: the same bytes for the same rows."""
    path.write_text("".join(canonical(row) + "\n" for row in rows), encoding="utf-8")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows that `write_lines` wrote. Splits only at newlines: `splitlines` would also cut at Unicode's other
    separators, which JSON leaves as they are inside strings."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def read(path: Path | Sequence[Path], schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table of `schema`, one parquet file or its parts in order; of it only the `columns`, if any are named,
    otherwise the fields of `OPTIONAL` that it has as well.

    Raises `BadInput`, naming the file and column, if it does not match.
    """
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    files = [path] if isinstance(path, Path) else path
    return pa.concat_tables([_read(file, wanted, OPTIONAL if columns is None else ()) for file in files])


def batches(files: Iterable[Path], schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of parquet files of `schema`, in order, `rows` at once and fewer at each file's end.

    Raises `BadInput` as `read` does.
    """
    for file in files:
        with _named(file):
            parquet = pq.ParquetFile(file)
            _check(file, parquet.schema_arrow.names, schema)
            for batch in parquet.iter_batches(rows, columns=schema.names):
                (whole,) = pa.Table.from_batches([batch]).select(schema.names).cast(schema).to_batches()
                yield whole


def _read(file: Path, schema: pa.Schema, optional: Iterable[pa.Field]) -> pa.Table:
    with _named(file):
        parquet = pq.ParquetFile(file)
        names = parquet.schema_arrow.names
        _check(file, names, schema)
        found = pa.schema([*schema, *(one for one in optional if one.name in names and one.name not in schema.names)])
        return parquet.read(columns=found.names).select(found.names).cast(found)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"{file} is not a readable parquet file: {error}") from None


def _check(file: Path, found: Sequence[str], schema: pa.Schema) -> None:
    if missing := next((name for name in schema.names if name not in found), None):
        raise BadInput(f"{file} has no column {missing!r} (it has {', '.join(found)})")


class Parts:
    """Writes a table of any length: the file `name` if PART_ROWS rows are enough, or parts of so many rows
    (`stem-00000` and so on; `Artifact.parts` lists them). The bytes depend on the rows alone, not on the pieces that
    they come in."""

    def __init__(self, folder: Path, name: str, schema: pa.Schema) -> None:
        self._file, self._schema = folder / name, schema
        self._waiting: list[pa.Table] = []
        self.rows = self._written = 0

    def add(self, table: pa.Table | pa.RecordBatch) -> None:
        """Append rows, which have the schema's columns among theirs."""
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        while table.num_rows:
            taken = table.slice(0, PART_ROWS - (self.rows - self._written * PART_ROWS))
            self._waiting.append(taken.select(self._schema.names))
            self.rows += taken.num_rows
            table = table.slice(taken.num_rows)
            if table.num_rows and self.rows % PART_ROWS == 0:
                self._write(last=False)

    def close(self) -> None:
        """Write what is left. A table without rows is a file too."""
        self._write(last=True)

    def _write(self, last: bool) -> None:
        rows = pa.concat_tables([self._schema.empty_table(), *self._waiting])
        write(
            self._part(self._written) if self._written or not last else self._file, rows.combine_chunks(), self._schema
        )
        self._waiting.clear()
        self._written += 1

    def _part(self, number: int) -> Path:
        return self._file.with_name(f"{self._file.stem}-{number:05d}{self._file.suffix}")
