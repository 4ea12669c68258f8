"""The rows of an evolved set: what they descend from, and how the seed set is read."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.lib import artifacts, dataset, records
from stages.lib.errors import BadInput
from stages.lib.records import Row
from stages.lib.tasks.checks import named_language

SPLITS = ("train", "validation")
KEYS = ("instruction", "input", "output")

# A row of an evolved set. `id` of an evolved row: sha256 over parent, evolution, round and the first request.
EVOLVED = pa.schema(
    [
        *records.INSTANCE,
        ("evolved_in", pa.int32()),  # the round, 0 for a seed
        ("root", pa.string()),  # the id of the seed that it descends from; decides its split
        ("parent", pa.string()),  # the id of the row that it was evolved from, "" for a seed
        ("evolution", pa.string()),  # a key of evolutions.yaml, "" for a seed
        ("evolve_request", pa.string()),  # the journal's key of the evolution; `request` is that of the answer
    ]
)
ELIMINATED = pa.schema([*EVOLVED, ("rule", pa.string()), ("reason", pa.string())])


def read_seeds(data: list[artifacts.Artifact], file: str | None) -> list[Row]:
    """The seed set: the rows of the datasets `data`, then those of `file`. Raises what `read_alpaca` does."""
    seeds = [row for one in data for row in read_dataset(one)]
    return seeds + (read_alpaca(Path(file)) if file else [])


def read_dataset(data: artifacts.Artifact) -> list[Row]:
    """Every row of data/dataset as a seed."""
    return [
        {**row, **_of_seed(row["id"])}
        for split in SPLITS
        if data.has(f"{split}.parquet")
        for row in records.read(data.file(f"{split}.parquet"), records.INSTANCE).to_pylist()
    ]


def read_alpaca(file: Path) -> list[Row]:
    """The rows of a JSON list in Alpaca's format (https://github.com/tatsu-lab/stanford_alpaca, "Data Release":
    instruction, input, output) as seeds. A row's language is the first that its instruction names, "" for none.

    Raises `BadInput`, naming the row (from 1) and the key, for a file that is no such list, a key that is missing or
    holds no text, an instruction or output that is blank.
    """
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"evolve.seeds.file: {file} is not readable JSON: {error}") from None
    if not isinstance(rows, list) or not rows:
        raise BadInput(f"evolve.seeds.file: {file} must hold one JSON list of objects with {', '.join(KEYS)}")
    for number, row in enumerate(rows, start=1):
        _check(row, f"{file}, row {number}")
    return [_from_alpaca({key: row[key] for key in KEYS}, file.name) for row in rows]


def draw(rows: list[Row], count: int | None, seed: int) -> list[Row]:
    """`count` of `rows` drawn without replacement, in their order; all of them for None or where there are fewer."""
    if count is None or count >= len(rows):
        return rows
    return [rows[at] for at in sorted(random.Random(f"{seed} seeds").sample(range(len(rows)), count))]


def child(parent: Row, evolution: str, number: int, instruction: str, request: str, asked: str) -> Row:
    """What `parent` has become in round `number`, not answered yet. It keeps the lineage of its root, and the input
    of `parent` where the new instruction does not hold that."""
    identity = {"parent": parent["id"], "evolution": evolution, "round": number, "asked": asked}
    return {
        **parent,
        "id": artifacts.digest(identity),
        "language": parent["language"] or named_language(instruction),
        "instruction": instruction,
        "input": "" if _holds(instruction, parent["input"]) else parent["input"],
        "output": "",
        "request": "",
        "judge_request": "",
        "tests": [],
        "evolved_in": number,
        "parent": parent["id"],
        "evolution": evolution,
        "evolve_request": request,
    }


def question(row: Row) -> str:
    """Instruction and input as one text: the prompt that WizardCoder evolves has no input of its own."""
    return f"{row['instruction']}\n\n{row['input']}" if row["input"].strip() else str(row["instruction"])


def split(rows: list[Row], validation_share: float) -> dict[str, list[Row]]:
    """The rows of each split, by the hash of their root, so that a seed's descendants stay together."""
    parts: dict[str, list[Row]] = {name: [] for name in SPLITS}
    for row in rows:
        parts[dataset.split(row["root"], validation_share)].append(row)
    return parts


def _holds(instruction: str, given: str) -> bool:
    """Whether an evolved instruction has taken in its parent's input, or half of its words."""
    words = set(given.split())
    return len(words & set(instruction.split())) * 2 >= len(words)


def _check(row: Any, where: str) -> None:
    if not isinstance(row, dict):
        raise BadInput(f"{where}: not an object but {row!r:.60}; each row needs {', '.join(KEYS)}")
    for key in KEYS:
        if not isinstance(row.get(key), str):
            raise BadInput(f'{where}: no text under the key {key!r}; write "" there for none')
        if key != "input" and not row[key].strip():
            raise BadInput(f"{where}: {key} is blank; remove the row")


def _from_alpaca(row: Row, name: str) -> Row:
    identity = artifacts.digest(row)
    nothing = dict.fromkeys(("function_id", "license", "request", "judge_request", "task"), "")
    language = named_language(row["instruction"])
    own = {"id": identity, "language": language, "round": 0, "source": name, "path": "", "tests": []}
    return {**row, **nothing, **own, **_of_seed(identity)}


def _of_seed(identity: str) -> Row:
    return {"evolved_in": 0, "root": identity, "parent": "", "evolution": "", "evolve_request": ""}
