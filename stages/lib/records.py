"""The record types that stages exchange, as Arrow schemas, with readers and writers."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib.artifacts import canonical
from stages.lib.errors import BadInput

Row = dict[str, Any]  # one record, as a plain dict

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


def read(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a parquet file of `schema`, with the fields of `OPTIONAL` that it has. Raises `BadInput`, naming the file
    and column, if it does not match."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"{path} is not a readable parquet file: {error}") from None
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise BadInput(f"{path} has no column {missing[0]!r} (it has {', '.join(table.column_names)})")
    found = [field for field in OPTIONAL if field.name in table.column_names and field.name not in schema.names]
    schema = pa.schema([*schema, *found])
    return table.select(schema.names).cast(schema)
