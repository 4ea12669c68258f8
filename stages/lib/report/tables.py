"""Reads what the report needs from an artifact's tables, without loading all of them."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.lib import records
from stages.lib.artifacts import Artifact
from stages.lib.records import Row


def rows_in(artifact: Artifact, file: str) -> int:
    """The row count of `file` in its seal; 0 if the artifact has no such file."""
    return artifact.rows(file)


def read(artifact: Artifact, file: str) -> list[Row]:
    """All rows of a parquet file."""
    return [row for part in artifact.parts(file) for row in pq.read_table(part).to_pylist()]


def lines(artifact: Artifact, file: str) -> list[Row]:
    """All lines of a JSONL file."""
    return records.read_lines(artifact.file(file))


def column(artifact: Artifact, file: str, name: str) -> list[Any]:
    """One column of a parquet file."""
    parts = artifact.parts(file)
    return [value for part in parts for value in pq.read_table(part, columns=[name])[name].to_pylist()]


def count(artifact: Artifact, file: str, name: str) -> Counter[str]:
    """Rows per value of column `name`, in order of first appearance."""
    return Counter(column(artifact, file, name))


def with_ids(artifact: Artifact, file: str, ids: Iterable[str]) -> dict[str, Row]:
    """The rows with these ids, by id."""
    return {row["id"]: row for row in with_values(artifact, file, "id", ids)}


def with_values(artifact: Artifact, file: str, column: str, values: Iterable[str]) -> list[Row]:
    """The rows whose `column` has one of these values."""
    wanted = pa.array(sorted(set(values)), pa.string())
    chosen = pc.field(column).isin(wanted)
    return [row for part in artifact.parts(file) for row in pq.read_table(part, filters=chosen).to_pylist()]


def lowest(ids: Iterable[str], most: int) -> list[str]:
    """`most` ids, always the same ones: an id is a hash, so the lowest are a fair sample."""
    return sorted(set(ids))[:most]
