"""The loss on a CPU, from the labelled tokens' logits only.

On GPUs we keep TRL's own loss: its Triton kernels score labelled tokens in tiles and store no logits. On a CPU its
fallback also scores prompts and padding and computes every tile twice, which took 30% of a step of SmolLM2-135M.

In bfloat16 only training's products are: validation is in float32, because bfloat16 rounds two thirds of what a young
adapter changes away (docs/training.md).
"""

from typing import Any

import torch
from torch.nn import functional
from trl import SFTTrainer

from stages.lib.training.examples import IGNORED


class OnCpu(SFTTrainer):
    """TRL's trainer with the same cross-entropy, computed from the logits of labelled tokens."""

    in_half = False

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean over `num_items_in_batch` labels, or over those of `inputs`; 0 where there is none."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.in_half and model.training):
            return self._loss(model, inputs, return_outputs, num_items_in_batch)

    def _loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool, num_items_in_batch: Any) -> Any:
        if self.aux_loss_enabled:  # a mixture of experts has a part of the loss that TRL adds
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"][:, 1:]
        kept = labels != IGNORED
        given = {name: value for name, value in inputs.items() if name != "labels"}
        outputs = model(**given, use_cache=False, logits_to_keep=functional.pad(kept, (0, 1)))
        loss = functional.cross_entropy(outputs.logits.float(), labels[kept], reduction="sum")
        count = kept.sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        loss = loss / count.clamp(min=1)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:  # the labels of all devices
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss
