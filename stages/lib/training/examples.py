"""Dataset rows as token ids and labels; the loss covers only the response and its end token."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lib import artifacts, records
from stages.lib.errors import BadInput
from stages.lib.models import prompts

IGNORED = -100  # the label of tokens without loss (torch.nn.CrossEntropyLoss, ignore_index)
FIELDS = ("id", "instruction", "input", "output")


@dataclass(frozen=True)
class Example:
    """A row as the model sees it: `labels` are `IGNORED` in the prompt and `input_ids` in the response."""

    id: str
    input_ids: list[int]
    labels: list[int]


def read(file: Path) -> list[dict[str, Any]]:
    """The rows of a dataset's JSON lines. Raises `BadInput`, naming file and line, for a row with a missing field or an
    empty output, from which nothing could be learned."""
    rows = []
    for number, row in enumerate(records.read_lines(file), start=1):
        check(row, f"{file} line {number}")
        rows.append(row)
    return rows


def read_alpaca(file: Path) -> list[dict[str, Any]]:
    """The rows of a JSON list in CodeAlpaca's format (instruction, input, output); an id is the row's hash.

    Raises `BadInput` for a file that is missing or no such list, and for a row that `read` would refuse.
    """
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"train.file {file} is not a readable JSON list of rows: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInput(f"train.file {file} must be one JSON list of objects with instruction, input and output")
    given = [{name: row.get(name) for name in FIELDS[1:]} for row in rows]
    named = [{"id": artifacts.digest(row), **row} for row in given]
    for number, row in enumerate(named, start=1):
        check(row, f"{file} row {number}")
    return named


def check(row: dict[str, Any], where: str) -> None:
    """Raise `BadInput` for a row with a missing field or nothing to learn from."""
    missing = [name for name in FIELDS if not isinstance(row.get(name), str)]
    if missing:
        raise BadInput(f"{where}: no text in {missing[0]!r}; rebuild the file with `dvc repro assemble`")
    if not row["output"].strip():
        raise BadInput(f"{where}: row {row['id']} has an empty output; remove it from the dataset")


def drawn(rows: list[dict[str, Any]], count: int | None, seed: int) -> list[dict[str, Any]]:
    """`count` of `rows`, drawn without replacement (paper, section 4.3), or all of them; in file order.

    Raises `BadInput` if there are fewer.
    """
    if count is None:
        return rows
    if count > len(rows):
        raise BadInput(f"params.yaml: train.rows: {count}, but the dataset has only {len(rows)} rows")
    return [rows[at] for at in sorted(random.Random(f"{seed} rows").sample(range(len(rows)), count))]


def encode(row: dict[str, Any], tokenizer: Any) -> Example:
    """A row as prompt, response and end token. Prompt and response are encoded apart, as they meet when the
    model answers; a tokenizer's own opening token comes with the prompt."""
    prompt = tokenizer(prompts.render(row["instruction"], row["input"]))["input_ids"]
    if prompt and prompt[-1] == tokenizer.eos_token_id:  # some tokenizers close every text
        prompt = prompt[:-1]
    response = [*tokenizer(row["output"], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    return Example(row["id"], [*prompt, *response], [IGNORED] * len(prompt) + response)


def fitting(examples: list[Example], max_tokens: int) -> tuple[list[Example], list[Example]]:
    """Rows of at most `max_tokens` tokens, and longer ones; truncated rows would teach half an answer."""
    fit = [example for example in examples if len(example.input_ids) <= max_tokens]
    return fit, [example for example in examples if len(example.input_ids) > max_tokens]


def in_order(examples: list[Example], epochs: int, seed: int) -> list[Example]:
    """All epochs one after the other, each with its own permutation given by `seed` and its number.

    Written out so that the rows of each step do not depend on how many devices share them.
    """
    return [example for epoch in range(epochs) for example in shuffled(examples, epoch, seed)]


def shuffled(examples: list[Example], epoch: int, seed: int) -> list[Example]:
    """The permutation of one epoch."""
    return random.Random(f"{seed} {epoch}").sample(examples, len(examples))
