"""Dataset rows as token ids and labels; the loss covers only the responses and their end tokens."""

import random
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from stages.lib.errors import BadInput
from stages.lib.models import chat, prompts

IGNORED = -100  # the label of tokens without loss (torch.nn.CrossEntropyLoss, ignore_index)


@dataclass(frozen=True)
class Example:
    """A row as the model sees it: `labels` are `IGNORED` in the prompt and `input_ids` in the response."""

    id: str
    input_ids: list[int]
    labels: list[int]


def encode(
    row: dict[str, Any], tokenizer: Any, form: prompts.FormName = "alpaca", copied_share: float = 1.0
) -> Example:
    """A row as prompt, response and end token, after the turns of its `history`, if it has one. In the form alpaca, a
    response that mostly repeats its input has loss on this share of the tokens that it repeats, drawn by the row's id.

    `form` alpaca: prompt and response are encoded apart, as they meet when the model answers; a tokenizer's own opening
    token comes with the first prompt. chat: as the tokenizer's chat template has it (`models.chat`).
    """
    if form == "chat":
        if copied_share < 1:
            raise BadInput("train.copied_share: the form chat learns every token of an answer; set it to 1")
        ids, answers = chat.encode(prompts.messages(row), tokenizer)
        return Example(row["id"], ids, [token if one else IGNORED for token, one in zip(ids, answers, strict=True)])
    row = prompts.fold(row)
    input_ids: list[int] = []
    labels: list[int] = []
    for turn in (*row.get("history", ()), row):
        text = prompts.render(turn["instruction"], turn.get("input", ""))
        prompt = tokenizer(text, add_special_tokens=not input_ids)["input_ids"]
        if prompt and prompt[-1] == tokenizer.eos_token_id:  # some tokenizers close every text
            prompt = prompt[:-1]
        response = [*tokenizer(turn["output"], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        input_ids += [*prompt, *response]
        if copied_share < 1 and turn.get("input"):
            given = tokenizer(turn["input"], add_special_tokens=False)["input_ids"]
            response = _thin_out(response, given, copied_share, row["id"])
        labels += [IGNORED] * len(prompt) + response
    return Example(row["id"], input_ids, labels)


def _thin_out(response: list[int], given: list[int], share: float, key: str) -> list[int]:
    """The labels of `response` with `share` of the tokens that it repeats from `given`, if it mostly repeats it.

    Of a repair two tokens in a hundred may be the repair: a model that learns all alike takes to copying, bug and all.
    The first token after a change keeps its label: there the model decides that the change is over.
    """
    blocks = SequenceMatcher(None, given, response, autojunk=False).get_matching_blocks()
    copied = {block.b + place for block in blocks for place in range(1 if block.b else 0, block.size)}
    if len(copied) < len(response) / 2:
        return response
    drawn = random.Random(key)
    left_out = {place for place in sorted(copied) if drawn.random() >= share}
    return [IGNORED if place in left_out else token for place, token in enumerate(response)]


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
