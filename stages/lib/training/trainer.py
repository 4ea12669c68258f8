"""TRL's SFTTrainer under the project's guards: sealed checkpoints, exact resume, no result cut short."""

import logging
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transformers import PrinterCallback, TrainerCallback

from stages.lib import checkpoint
from stages.lib.errors import BadInput
from stages.lib.training.examples import Example

KEPT_SAVES = 2  # where the newest is damaged, the one before it is taken
LOGGED = ("loss", "learning_rate", "grad_norm", "eval_loss")  # the rest are times, or follow from these

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021, https://arxiv.org/abs/2106.09685) on `targets` of the model."""

    rank: int
    alpha: int
    dropout: float
    targets: str | list[str]


@dataclass(frozen=True)
class Settings:
    """How to train. `batch_rows` is the global batch; `lora` None trains every weight."""

    lora: Lora | None
    epochs: int
    batch_rows: int
    micro_batch_rows: int
    learning_rate: float
    schedule: str
    warmup_share: float
    weight_decay: float
    max_grad_norm: float
    precision: Literal["float32", "bfloat16"]
    activation_checkpointing: bool
    seed: int
    save_steps: int
    device: str


class Guard(TrainerCallback):
    """Seals each save, stops for SIGTERM after one, and stops at once when the loss is no number."""

    def __init__(self, order: list[Example], settings: Settings) -> None:
        self.order = order
        self.settings = settings
        self.started = time.monotonic()
        self.first_step: int | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if checkpoint.stop_requested():
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        checkpoint.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        logs = given["logs"]
        if "loss" not in logs:
            return
        rows = rows_of_step(self.order, state.global_step, self.settings.batch_rows)
        if not all(math.isfinite(logs[name]) for name in ("loss", "grad_norm")):
            raise BadInput(
                f"the loss is {logs['loss']} and the gradient's norm {logs['grad_norm']} at step {state.global_step}, "
                f"rows {', '.join(row.id[:16] for row in rows)}: look at them (make trace ID=…), or lower "
                "train.learning_rate; the last save before this step stands"
            )
        self._tell(state, logs["loss"])

    def _tell(self, state: Any, loss: float) -> None:
        """A line a step; the first step of a run only starts the clock, for it also warms caches."""
        if self.first_step is None:
            self.first_step, self.started = state.global_step, time.monotonic()
        done = state.global_step - self.first_step
        rate = (time.monotonic() - self.started) / done if done else math.nan
        left = f", about {rate * (state.max_steps - state.global_step):.0f} s left" if done else ""
        log.info("step %d of %d: loss %.4f%s", state.global_step, state.max_steps, loss, left)


def fit(
    model: Any, tokenizer: Any, order: list[Example], validation: list[Example], settings: Settings, saves: Path
) -> tuple[Any, list[dict[str, Any]]]:
    """Train `model` on `order` and return it with its log, a mapping a step or evaluation.

    Goes on from the newest valid save in `saves`, to the same weights. Raises `Preempted` after SIGTERM,
    once all is saved, and `BadInput` for a batch that cannot be made and for a loss that is no number.
    """
    guard = Guard(order, settings)
    trainer = make(model, tokenizer, order, validation, settings, saves, guard)
    before = [{"step": 0, **trainer.evaluate()}] if validation else []
    newest = checkpoint.newest(saves, "checkpoint-*")
    remove_refused(saves, newest)
    if newest:
        log.info("going on from %s", newest)
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    checkpoint.raise_if_stop_requested()
    state = trainer.state
    if state.global_step != count_steps(order, settings):
        raise RuntimeError(f"the trainer returned at step {state.global_step} of {count_steps(order, settings)}")
    return trainer.accelerator.unwrap_model(trainer.model), [
        {"step": entry["step"]} | {name: entry[name] for name in LOGGED if name in entry}
        for entry in [*before, *state.log_history]
        if "loss" in entry or "eval_loss" in entry
    ]


def make(
    model: Any,
    tokenizer: Any,
    order: list[Example],
    validation: list[Example],
    settings: Settings,
    saves: Path,
    guard: Guard,
) -> Any:
    """The SFTTrainer of `settings`, over rows that are token ids already."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    def table(examples: list[Example]) -> Dataset:
        return Dataset.from_list([{"input_ids": one.input_ids, "labels": one.labels} for one in examples])

    arguments = SFTConfig(
        output_dir=str(saves),
        seed=settings.seed,
        num_train_epochs=1,  # `order` holds every epoch
        train_sampling_strategy="sequential",
        per_device_train_batch_size=settings.micro_batch_rows,
        per_device_eval_batch_size=settings.micro_batch_rows,
        gradient_accumulation_steps=accumulation(settings),
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup_share,  # below 1 it is a share of all steps
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch",
        bf16=settings.precision == "bfloat16",
        activation_checkpointing=settings.activation_checkpointing,
        max_length=None,  # longer rows have been set aside
        eval_strategy="steps" if validation else "no",
        eval_steps=math.ceil(count_steps(order, settings) / settings.epochs),
        save_strategy="steps",
        save_steps=settings.save_steps,
        save_total_limit=KEPT_SAVES,
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        use_cpu=settings.device == "cpu",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs in one process would multiply the batch
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=table(order),
        eval_dataset=table(validation) if validation else None,
        processing_class=tokenizer,
        peft_config=adapter(settings.lora) if settings.lora else None,
        callbacks=[guard],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def adapter(lora: Lora) -> Any:
    """The peft configuration of `lora`."""
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
    )


def accumulation(settings: Settings) -> int:
    """Micro-batches a step. Raises `BadInput` if the global batch is no whole number of them."""
    if settings.batch_rows % settings.micro_batch_rows:
        raise BadInput(
            f"params.yaml: train.batch_rows: {settings.batch_rows} rows cannot be made of micro-batches of "
            f"{settings.micro_batch_rows}; set train.micro_batch_rows to one of its divisors"
        )
    return settings.batch_rows // settings.micro_batch_rows


def count_steps(order: list[Example], settings: Settings) -> int:
    """Optimizer steps; the last one may hold fewer rows."""
    return math.ceil(len(order) / settings.batch_rows)


def rows_of_step(order: list[Example], step: int, batch_rows: int) -> list[Example]:
    """The rows of `step`, which counts from 1."""
    return order[(step - 1) * batch_rows : step * batch_rows]


def remove_refused(saves: Path, newest: Path | None) -> None:
    """Remove saves that were cut short or damaged, which the trainer would count among those that it keeps."""
    for path in saves.glob("checkpoint-*"):
        if path != newest and not checkpoint.is_valid(path):
            shutil.rmtree(path)
