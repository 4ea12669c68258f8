"""Sequences of several rows, none of which sees another.

A sequence is a list of rows that are laid end to end in one forward pass. Each row's positions start at 0, from
which the model tells them apart (TRL's `padding_free` collator); `keep_apart` measures that it does.
"""

import random
from typing import Any

from stages.lib.errors import BadInput
from stages.lib.training import examples
from stages.lib.training.examples import IGNORED, Example

Sequence = list[Example]
# Of the largest logit, by the weights' type (bfloat16 has 8 bits); a row that saw another's tokens is off by far more.
TOLERANCE = {"torch.float32": 1e-3, "torch.bfloat16": 3e-2}


def in_order(rows: list[Example], epochs: int, seed: int, packed_tokens: int | None) -> list[Sequence]:
    """All epochs one after the other. Without `packed_tokens` each row is its own sequence; with it, each epoch's rows
    are packed into sequences of at most that many tokens, in an order given by `seed`."""
    if packed_tokens is None:
        return [[row] for row in examples.in_order(rows, epochs, seed)]
    order: list[Sequence] = []
    for epoch in range(epochs):
        packed = best_fit(examples.shuffled(rows, epoch, seed), packed_tokens)
        order += random.Random(f"{seed} {epoch} packed").sample(packed, len(packed))
    return order


def best_fit(rows: list[Example], tokens: int) -> list[Sequence]:
    """Each row once, packed by TRL's best-fit decreasing into sequences of at most `tokens`."""
    from datasets import Dataset
    from trl import pack_dataset

    numbers = Dataset.from_dict({"row": [[at] * len(row.input_ids) for at, row in enumerate(rows)]})
    packed = pack_dataset(numbers, tokens, "bfd", {"batch_size": len(rows), "keep_in_memory": True})
    return [[rows[at] for at in dict.fromkeys(sequence)] for sequence in packed["row"]]


def filled(order: list[Sequence], sequences: int, end_token: int) -> list[Sequence]:
    """`order` with its last step filled up to `sequences` by sequences without labels: devices get equal shares, and
    the loss, a mean over labels, does not change."""
    empty = Example("filler", [end_token] * 2, [IGNORED] * 2)
    return [*order, *([[empty]] * (-len(order) % sequences))]


def columns(sequence: Sequence) -> dict[str, list[int]]:
    """A sequence as TRL's collator takes it."""
    return {
        "input_ids": [token for row in sequence for token in row.input_ids],
        "labels": [label for row in sequence for label in row.labels],
        "seq_lengths": [len(row.input_ids) for row in sequence],
    }


def keep_apart(model: Any, rows: list[Example]) -> None:
    """Make `model` attend row by row. Raises `BadInput` if a row's logits change when another row precedes it.

    Tested on this model with two of its own rows: alone under the model's own attention, together under the attention
    that training will use.
    """
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from stages.lib.training import attention

    pair = [columns([row]) for row in rows[:2]]
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(pair)
    batch.pop("labels")
    device = next(model.parameters()).device
    alone = torch.tensor([pair[-1]["input_ids"]], device=device)
    was_training = model.training
    model.eval()
    with torch.inference_mode():  # no cache, as in training: with one, transformers ignores positions
        apart = model(input_ids=alone, use_cache=False).logits[0].float()
        attention.use(model)
        ids = {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()}
        together = model(**ids, use_cache=False).logits[0, -len(apart) :].float()
    model.train(was_training)
    error = float((apart - together).abs().max() / apart.abs().max())
    if not error < TOLERANCE[str(model.dtype)]:
        raise BadInput(
            f"packed rows see each other in this model: a row's logits change by {error:.2g} of the largest if another "
            "row precedes it; set train.packing to none"
        )
