"""Dataset rows as token ids and labels: the loss is on the response and its end token alone."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lib import prompts, records
from stages.lib.errors import BadInput

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
        missing = [name for name in FIELDS if not isinstance(row.get(name), str)]
        if missing:
            raise BadInput(f"{file} line {number}: no text in {missing[0]!r}; make it anew with `dvc repro assemble`")
        if not row["output"].strip():
            raise BadInput(f"{file} line {number}: row {row['id']} has an empty output; take it out of the dataset")
        rows.append(row)
    return rows


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
    return [
        example
        for epoch in range(epochs)
        for example in random.Random(f"{seed} {epoch}").sample(examples, len(examples))
    ]
