"""The rows that `train` learns from: a sealed dataset's, or those of a file of one's own.

Such a file is a JSON list, JSON lines or Parquet, in one of two forms:

    {"instruction": …, "input": …, "output": …}     Alpaca's; `input` may be left out
    {"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}

`messages` may begin with a system message, the row's `system`, and go on for as many turns as they like: the row's last
turn is its instruction and output, and the turns before it are its `history`. Other keys are ignored.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib import artifacts, dataset, records
from stages.lib.errors import BadInput
from stages.lib.models import prompts
from stages.lib.records import Row

FIELDS = ("instruction", "input", "output")
TURN = ["user", "assistant"]


def read(place: str, validation_share: float) -> dict[str, list[Row]]:
    """The rows of each split of the dataset or own file at `place`.

    A dataset has its own splits; a file's rows are split by their hashes. Raises `BadInput`, naming file and row, for a
    file that is missing or has another form, and for a row from which nothing could be learned.
    """
    path = Path(place)
    if path.is_file() or (path.suffix and not path.is_dir()):
        return dataset.splits(read_own(path), validation_share)
    data = artifacts.open(place)
    return {
        split: read_sealed(data.file(f"{split}.jsonl"))
        for split in ("train", "validation")
        if split == "train" or data.has(f"{split}.jsonl")
    }


def origin(place: str, parts: dict[str, list[Row]]) -> tuple[list[artifacts.Artifact], dict[str, Any]]:
    """Where the rows `parts` come from: a dataset, as an input of the model; or facts about one's own file."""
    if Path(place).is_dir():
        return [artifacts.open(place)], {}
    counts = {name: len(rows) for name, rows in parts.items()}
    return [], {"file": Path(place).name, "file_sha256": artifacts.hash_file(Path(place)), "file_rows": counts}


def read_sealed(file: Path) -> list[Row]:
    """The rows of a dataset's JSON lines."""
    rows = records.read_lines(file)
    for number, row in enumerate(rows, start=1):
        missing = [name for name in ("id", *FIELDS) if not isinstance(row.get(name), str)]
        if missing:
            raise BadInput(
                f"{file} line {number}: no text in {missing[0]!r}; rebuild the file with `dvc repro assemble`"
            )
        if not row["output"].strip():
            raise BadInput(f"{file} line {number}: row {row['id']} has an empty output; remove it from the dataset")
    return rows


def read_own(file: Path, key: str = "train.file") -> list[Row]:
    """The rows of one's own file as id (the row's hash), instruction, input and output; `key`: the parameter that names
    it."""
    rows = [to_row(value, f"{key}: {file} {place}") for place, value in entries(file, key)]
    return [{"id": artifacts.digest(prompts.fold(row)), **row} for row in rows]


def entries(file: Path, key: str) -> list[tuple[str, Any]]:
    """Each row of one's own file as it stands there, after its place: "row 3", or "line 3" of JSON lines.

    Raises `BadInput`, naming `key`, for a file that is missing, cannot be read or has no rows.
    """
    try:
        found = _of_parquet(file) if file.suffix == ".parquet" else _of_json(file, key)
    except FileNotFoundError:
        raise BadInput(f"{key}: {file} does not exist; correct the path in params.yaml") from None
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise BadInput(f"{key}: {file} cannot be read: {error}") from None
    if not found:
        raise BadInput(f"{key}: {file} has no rows")
    return found


def _of_parquet(file: Path) -> list[tuple[str, Any]]:
    return [(f"row {number}", row) for number, row in enumerate(pq.read_table(file).to_pylist(), start=1)]


def _of_json(file: Path, key: str) -> list[tuple[str, Any]]:
    text = file.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("["):
        try:
            values = json.loads(text)
        except ValueError as error:
            raise BadInput(f"{key}: {file} is not valid JSON: {error}") from None
        return [(f"row {number}", value) for number, value in enumerate(values, start=1)]
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append((f"line {number}", json.loads(line)))
        except ValueError as error:
            raise BadInput(
                f"{key}: {file} line {number} is not JSON ({error}); write one JSON list, or one object a line"
            ) from None
    return found


def to_row(value: Any, where: str) -> Row:
    """The row in `value`, which stands at `where`. Raises `BadInput` if nothing could be learned from it."""
    if not isinstance(value, dict):
        raise BadInput(f"{where} is no object but {value!r:.60}")
    row = _from_messages(value["messages"], where) if "messages" in value else _from_alpaca(value)
    for name, text in (
        pair for turn in (*row.get("history", ()), row) for pair in turn.items() if pair[0] != "history"
    ):
        if not isinstance(text, str):
            raise BadInput(f"{where} has no text in {name!r}; a row needs instruction and output, or messages")
        if name not in ("input", "system") and not text.strip():
            raise BadInput(f"{where} has an empty {name}; write one or remove the row")
    return row


def _from_alpaca(value: Row) -> Row:
    return {name: value.get(name) or "" if name == "input" else value.get(name) for name in FIELDS}


def _from_messages(said: Any, where: str) -> Row:
    roles = [one.get("role") for one in said if isinstance(one, dict)] if isinstance(said, list) else None
    system = roles is not None and roles[:1] == ["system"]
    count = len(roles[system:]) // 2 if roles else 0
    if not count or roles is None or roles[system:] != TURN * count:
        raise BadInput(
            f"{where} has messages by {roles}; user and assistant must take turns, the assistant last, "
            "with a system message before them or without; cut the conversation after an answer, or remove it"
        )
    texts = [one.get("content") for one in said]
    spoken = texts[system:]
    *history, last = ({"instruction": spoken[at], "output": spoken[at + 1]} for at in range(0, len(spoken), 2))
    row = {"instruction": last["instruction"], "input": "", "output": last["output"]}
    if system:
        row["system"] = texts[0]
    return {**row, "history": history} if history else row
