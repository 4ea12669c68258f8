"""The instruction dataset: its rows and its split."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from stages.lib import artifacts, records
from stages.lib.records import Row

SOURCES = "sources.parquet"  # of data/candidates/ROUND, where the method does not begin with functions


def instance(verdict: Row, function: Row) -> Row:
    """A row of the dataset from a passed verdict and its raw function.

    The paper trains on information as the input and solution as the output (WaveCoder, figure 4).
    """
    return {
        "id": verdict["id"],
        "task": verdict["task"],
        "language": verdict["target_language"],
        "instruction": verdict["instruction"],
        "input": verdict["information"],
        "output": verdict["solution"],
        "round": verdict["round"],
        "function_id": verdict["function_id"],
        "source": function["source"],
        "path": function["path"],
        "license": function["license"],
        "request": verdict["request"],
        "judge_request": verdict["judge_request"],
        "tests": verdict["tests"] if verdict.get("execution") == "passed" else [],
        **{name: verdict[name] for name in records.OPTIONAL.names if name in verdict},
    }


def read_sources(candidates: Sequence[artifacts.Artifact]) -> tuple[list[artifacts.Artifact], dict[str, Row]]:
    """The corpus, unless all rows are another tool's; and what rows were made from, by id: its functions, or what the
    generation method used instead."""
    corpus = [artifacts.open("data/corpus")] if any("foreign" not in one.params for one in candidates) else []
    files = [
        *(part for one in corpus for part in one.parts("corpus.parquet")),
        *(one.path / SOURCES for one in candidates),
    ]
    return corpus, {
        row["id"]: row for file in files if file.is_file() for row in records.read(file, records.FUNCTION).to_pylist()
    }


def text(row: Row) -> str:
    """All text a model learns from a row; duplicates and contamination are searched in it."""
    return f"{row['instruction']}\n{row['input']}\n{row['output']}"


def split(row_id: str, validation_share: float) -> str:
    """ "validation" for a row whose id, a hash, falls in the lowest `validation_share` of all ids; else "train".

    Depends only on the row, which keeps its split when others come or go.
    """
    return "validation" if int(row_id[:8], 16) < validation_share * 2**32 else "train"


def split_of(row: Row, validation_share: float) -> str:
    """The split of a dataset's row. All answers to one question fall into one."""
    return split(row.get("question") or row["id"], validation_share)


def by_split(rows: Sequence[Row], validation_share: float) -> dict[str, list[Row]]:
    """`rows` by split. Rows made from one function go where the first of them goes, for they share their code."""
    parts: dict[str, list[Row]] = {"train": [], "validation": []}
    first: dict[str, str] = {}
    for row in rows:
        own = split_of(row, validation_share)
        parts[first.setdefault(row.get("function_id") or row["id"], own)].append(row)
    return parts


def splits(rows: Sequence[Row], validation_share: float) -> dict[str, list[Row]]:
    """As `by_split`, but of few rows none may fall into one: each split gets one if there are two rows."""
    parts = by_split(rows, validation_share)
    if not parts["train"]:
        parts["train"], parts["validation"] = parts["validation"][-1:], parts["validation"][:-1]
    elif not parts["validation"] and validation_share and len(rows) > 1:
        lowest = min(rows, key=lambda row: row["id"])
        parts = {"train": [row for row in rows if row is not lowest], "validation": [lowest]}
    return parts


def write_splits(out: Path, parts: dict[str, list[Row]], schema: pa.Schema) -> None:
    """Write each split as JSON lines and as parquet; none for an empty one, which `datasets.load_dataset` cannot read.

    The cards have no `configs:`, because `datasets` would then leave the files out of its cache's key and return the
    rows of the first folder it ever saw under that card.
    """
    for name, rows in parts.items():
        if rows:
            records.write_lines(out / f"{name}.jsonl", rows)
            records.write(out / f"{name}.parquet", rows, schema)
