"""The tuned model's loss on each held-out row, which is what comparisons of runs read.

Two models are compared row by row: much of the noise in a mean loss is the rows', and both have the same ones.
"""

from collections.abc import Sequence
from typing import Any

from stages.lib import progress
from stages.lib.training.examples import IGNORED, Example

FILE = "held_out.jsonl"


def losses(model: Any, rows: Sequence[Example]) -> list[dict[str, Any]]:
    """For each row its id, its `loss`, and how many of its tokens carry loss."""
    model.eval()
    found = []
    with progress.work("measuring the loss of held-out rows", len(rows), "rows") as work:
        for row in rows:
            tokens = sum(label != IGNORED for label in row.labels)
            found.append({"id": row.id, "loss": round(loss(model, row), 6), "tokens": tokens})
            work.add(1)
    return found


def loss(model: Any, row: Example) -> float:
    """The mean cross-entropy of the tokens of `row` that carry loss, in nats. Only their logits are computed."""
    import torch
    from torch.nn import functional

    labels = torch.tensor(row.labels[1:], device=model.device)
    places = (labels != IGNORED).nonzero()[:, 0]
    tokens = torch.tensor([row.input_ids], device=model.device)
    with torch.inference_mode():
        logits = model(tokens, use_cache=False, logits_to_keep=places).logits[0].float()
    return float(functional.cross_entropy(logits, labels[places]))
