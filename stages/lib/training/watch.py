"""Progress of a training run: counts and speeds for who watches, and TensorBoard if train.tensorboard is set.

Speeds and times reach no artifact.
"""

import logging
import math
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lib.progress import Work

log = logging.getLogger("tidemill.train")


@dataclass(frozen=True)
class Speed:
    """What turns tokens per second into a share of the devices' peak."""

    flops_per_token: float
    matrix_rate: float  # FLOP/s of all devices together


class Watch:
    """Tells of loss, gradient norm, tokens per second, model FLOP utilisation and memory."""

    def __init__(self, speed: Speed, board: Path | None, work: Work | None = None) -> None:
        self.speed, self.work = speed, work or Work("training")
        self.started = time.monotonic()
        self.first_step: int | None = None
        self.tokens = 0
        self.writer = _writer(board) if board else None

    def tell(self, step: int, steps: int, logs: dict[str, float], tokens: int) -> None:
        """Tell of step `step` of `steps`, which had `tokens` tokens. A run's first step only starts the clock, because
        it also warms caches."""
        if self.first_step is None:
            self.first_step, self.started = step, time.monotonic()
        else:
            self.tokens += tokens
        seconds, done = time.monotonic() - self.started, step - self.first_step
        rate = self.tokens / seconds if done else math.nan
        used = rate * self.speed.flops_per_token / self.speed.matrix_rate
        facts = {"loss": f"{logs['loss']:.4f}", "gradient norm": f"{logs['grad_norm']:.3f}"}
        if done:
            facts |= {"tokens/s": f"{rate:.0f}", "MFU": f"{used:.0%}", "memory": f"{memory_bytes() / 2**30:.1f} GiB"}
        self.work.add(1, tokens)
        self.work.note(**facts)
        log.debug("step %d of %d: %s", step, steps, ", ".join(f"{name} {value}" for name, value in facts.items()))
        if self.writer:
            shown = {name: logs[name] for name in ("loss", "learning_rate", "grad_norm")}
            speeds = {"tokens_per_second": rate, "model_flop_utilisation": used} if done else {}
            for name, value in {**shown, **speeds, "memory_bytes": memory_bytes()}.items():
                self.writer.add_scalar(f"train/{name}", value, step)
            self.writer.flush()


def memory_bytes() -> float:
    """The peak so far: of the GPU's allocator, or of this process where there is none."""
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _writer(board: Path) -> Any:
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(board))
