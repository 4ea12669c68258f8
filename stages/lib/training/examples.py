"""Dataset rows as token ids and labels: the loss is on the response and its end token alone."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lib import artifacts, records
from stages.lib.errors import BadInput
from stages.lib.models import prompts

IGNORED = -100  # the label of a token that the loss leaves out (torch.nn.CrossEntropyLoss, ignore_index)
FIELDS = ("id", "instruction", "input", "output")


@dataclass(frozen=True)
class Example:
    """A row as the model sees it: `labels` are `input_ids` where the response stands, `IGNORED` before it."""

    id: str
    input_ids: list[int]
    labels: list[int]


def read(file: Path) -> list[dict[str, Any]]:
    """The rows of a dataset's JSON lines. Raises `BadInput`, naming file and line, for a row that lacks a
    field or whose output is empty: nothing could be learned from it."""
    rows = []
    for number, row in enumerate(records.read_lines(file), start=1):
        check(row, f"{file} line {number}")
        rows.append(row)
    return rows


def read_alpaca(file: Path) -> list[dict[str, Any]]:
    """The rows of a JSON list in the form of CodeAlpaca (instruction, input, output); an id is the row's hash.

    Raises `BadInput` for a file that is absent or no such list, and for a row that `read` would refuse.
    """
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"train.file {file} is no readable JSON list of rows: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInput(f"train.file {file} must hold one JSON list of objects with instruction, input and output")
    given = [{name: row.get(name) for name in FIELDS[1:]} for row in rows]
    named = [{"id": artifacts.digest(row), **row} for row in given]
    for number, row in enumerate(named, start=1):
        check(row, f"{file} row {number}")
    return named


def check(row: dict[str, Any], where: str) -> None:
    """Raise `BadInput` for a row that lacks a field or has nothing to be learned."""
    missing = [name for name in FIELDS if not isinstance(row.get(name), str)]
    if missing:
        raise BadInput(f"{where}: no text in {missing[0]!r}; make it anew with `dvc repro assemble`")
    if not row["output"].strip():
        raise BadInput(f"{where}: row {row['id']} has an empty output; take it out of the dataset")


def drawn(rows: list[dict[str, Any]], count: int | None, seed: int) -> list[dict[str, Any]]:
    """`count` of `rows` drawn without replacement (paper, section 4.3), or all of them; in the order of the file.

    Raises `BadInput` if there are fewer.
    """
    if count is None:
        return rows
    if count > len(rows):
        raise BadInput(f"params.yaml: train.rows: {count} rows are asked for and the dataset has {len(rows)}")
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
    """Those of at most `max_tokens` tokens, and those that are longer: a cut row would teach half an answer."""
    fit = [example for example in examples if len(example.input_ids) <= max_tokens]
    return fit, [example for example in examples if len(example.input_ids) > max_tokens]


def in_order(examples: list[Example], epochs: int, seed: int) -> list[Example]:
    """All epochs in a row, each a permutation of its own that `seed` and its number decide.

    Written out, so that the rows of a step are known and do not hang on how many devices share them.
    """
    return [example for epoch in range(epochs) for example in shuffled(examples, epoch, seed)]


def shuffled(examples: list[Example], epoch: int, seed: int) -> list[Example]:
    """The permutation of one epoch."""
    return random.Random(f"{seed} {epoch}").sample(examples, len(examples))
