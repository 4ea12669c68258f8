"""The tuned model's loss on each held-out row, which is what comparisons of runs read.

Two models are compared row by row: much of the noise in a mean loss is the rows', and both have the same ones.
"""

from collections.abc import Sequence
from typing import Any

from stages.lib import progress
from stages.lib.training.examples import IGNORED, Example

FILE = "held_out.jsonl"


def losses(model: Any, rows: Sequence[Example]) -> list[dict[str, Any]]:
    """For each row its id, the mean cross-entropy of the tokens that carry loss, in nats, and how many these are."""
    import torch
    from torch.nn import functional

    found = []
    model.eval()
    with progress.work("measuring the loss of held-out rows", len(rows), "rows") as work, torch.inference_mode():
        for row in rows:
            tokens = torch.tensor([row.input_ids], device=model.device)
            labels = torch.tensor(row.labels[1:], device=model.device)
            logits = model(tokens, use_cache=False).logits[0, :-1].float()
            loss = functional.cross_entropy(logits, labels, ignore_index=IGNORED)
            found.append({"id": row.id, "loss": round(float(loss), 6), "tokens": int((labels != IGNORED).sum())})
            work.add(1)
    return found
