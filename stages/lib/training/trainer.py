"""TRL's SFTTrainer with our guards: sealed checkpoints, exact resume, no truncated result."""

import logging
import math
import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from transformers import PrinterCallback, TrainerCallback

from stages.lib import checkpoint, processes, progress
from stages.lib.errors import BadInput
from stages.lib.models import causal
from stages.lib.training import devices, packing
from stages.lib.training.examples import Example
from stages.lib.training.packing import Sequence
from stages.lib.training.watch import Speed, Watch

KEPT_SAVES = 2  # if the newest is damaged, the one before it is used
LOGGED = ("loss", "learning_rate", "grad_norm", "eval_loss")  # the rest are times, or derived from these

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021, https://arxiv.org/abs/2106.09685) on `targets` of the model; `dora`: with a
    trained magnitude (Liu et al. 2024, https://arxiv.org/abs/2402.09353); `rslora`: scaled by alpha over the root of
    the rank (Kalajdzievski 2023, https://arxiv.org/abs/2312.03732)."""

    rank: int
    alpha: int
    dropout: float
    targets: str | list[str]
    dora: bool = False
    rslora: bool = False


@dataclass(frozen=True)
class Settings:
    """How to train. `batch_rows` is the global batch, in sequences; `lora` None trains every weight."""

    lora: Lora | None
    epochs: int
    batch_rows: int
    micro_batch_rows: int
    packed: bool
    learning_rate: float
    schedule: str
    warmup_share: float
    weight_decay: float
    max_grad_norm: float
    precision: Literal["float32", "bfloat16"]
    activation_checkpointing: bool
    sharding: Literal["none", "fsdp"]
    seed: int
    save_steps: int
    device: str
    board: Path | None


SETTINGS = {field.name for field in fields(Settings)} - {"lora"}


class Guard(TrainerCallback):
    """Seals each save, stops for SIGTERM after one, and stops at once when the loss is no number."""

    def __init__(self, order: list[Sequence], settings: Settings, watch: Watch) -> None:
        self.order = order
        self.settings = settings
        self.watch = watch

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.watch.work.restart()

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.global_step:
            self.watch.work.restart()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if anyone(checkpoint.stop_requested()):
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        wait_for_all()
        if processes.here().leads:
            checkpoint.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        wait_for_all()

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
        if processes.here().leads:
            self.watch.tell(state.global_step, state.max_steps, logs, tokens_of(rows))


@dataclass(frozen=True)
class Tuned:
    """What training gives: the model, its whole weights where devices hold shares of it, and an entry a step or
    evaluation."""

    model: Any
    weights: dict[str, Any] | None
    entries: list[dict[str, Any]]


def load(name: str, method: str, precision: str, device: str) -> Any:
    """The base model. Its weights are float32 where they are trained, and on a CPU; frozen ones on a GPU are of
    `precision`."""
    return causal.load_causal(name, precision if method == "lora" and device == "cuda" else "float32")[0]


def fit(
    model: Any,
    tokenizer: Any,
    order: list[Sequence],
    validation: list[Example],
    settings: Settings,
    saves: Path,
    speed: Speed,
) -> Tuned:
    """Train `model` on `order`.

    Resumes from the newest valid save in `saves`, to the same weights. Raises `Preempted` after SIGTERM, once
    everything is saved, and `BadInput` for an impossible batch size or a loss that is not a number.
    """
    newest = checkpoint.newest(saves, "checkpoint-*")
    if processes.here().leads:
        remove_refused(saves, newest)
    steps = count_steps(order, settings)
    with progress.work("training", steps, "steps", sum(tokens_of(sequence) for sequence in order)) as work:
        guard = Guard(order, settings, Watch(speed, settings.board if processes.here().leads else None, work))
        trainer = make(model, tokenizer, order, validation, settings, saves, guard)
        if newest:
            trainer.args.eval_on_start = False
            done = int(newest.name.rpartition("-")[2])
            work.skip(done, sum(tokens_of(sequence) for sequence in order[: done * settings.batch_rows]))
            log.info("resuming from %s", newest)
        trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    if anyone(checkpoint.stop_requested()):
        raise checkpoint.Preempted("stopped by SIGTERM; run it again to resume from the last save")
    state = trainer.state
    if state.global_step != steps:
        raise RuntimeError(f"the trainer returned at step {state.global_step} of {steps}")
    entries = [
        {"step": entry["step"]} | {name: entry[name] for name in LOGGED if name in entry}
        for entry in state.log_history
        if "loss" in entry or "eval_loss" in entry
    ]
    weights = trainer.accelerator.get_state_dict(trainer.model) if processes.here().size > 1 else None
    return Tuned(trainer.accelerator.unwrap_model(trainer.model), weights, entries)


def make(
    model: Any,
    tokenizer: Any,
    order: list[Sequence],
    validation: list[Example],
    settings: Settings,
    saves: Path,
    guard: Guard,
) -> Any:
    """The SFTTrainer of `settings`, over rows that are token ids already."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from stages.lib.training.loss import OnCpu

    def table(sequences: list[Sequence]) -> Dataset:
        return Dataset.from_list([packing.columns(sequence) for sequence in sequences])

    arguments = SFTConfig(
        output_dir=str(saves),
        seed=settings.seed,
        num_train_epochs=1,  # `order` holds every epoch
        train_sampling_strategy="sequential",
        per_device_train_batch_size=settings.micro_batch_rows,
        per_device_eval_batch_size=1,  # TRL averages over batches; with 1 that is the mean over rows
        gradient_accumulation_steps=accumulation(settings),
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup_share,  # below 1 it is a share of all steps
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused" if settings.device == "cuda" else "adamw_torch",
        bf16=settings.precision == "bfloat16" and settings.device == "cuda",
        activation_checkpointing=settings.activation_checkpointing,
        max_length=None,  # longer rows have been set aside
        padding_free=settings.packed,
        dataset_kwargs={"skip_prepare_dataset": True},
        eval_strategy="steps" if validation else "no",
        eval_on_start=bool(validation),
        eval_steps=math.ceil(count_steps(order, settings) / settings.epochs),
        save_strategy="steps",
        save_steps=settings.save_steps,
        save_total_limit=KEPT_SAVES,
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        use_cpu=settings.device == "cpu",
        ddp_backend=None if processes.here().size == 1 else ("gloo" if settings.device == "cpu" else "nccl"),
        fsdp=True if settings.sharding == "fsdp" else None,  # type: ignore[arg-type]
        fsdp_config={"version": 2} if settings.sharding == "fsdp" else None,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs in one process would multiply the batch
    trainer = (OnCpu if settings.device == "cpu" else SFTTrainer)(
        model=model,
        args=arguments,
        train_dataset=table(shares(order, settings, tokenizer)),
        eval_dataset=table([[row] for row in validation]) if validation else None,
        processing_class=tokenizer,
        peft_config=adapter(settings.lora) if settings.lora else None,
        callbacks=[guard],
    )
    if isinstance(trainer, OnCpu):
        trainer.in_half = settings.precision == "bfloat16"
    trainer.remove_callback(PrinterCallback)
    return trainer


def shares(order: list[Sequence], settings: Settings, tokenizer: Any) -> list[Sequence]:
    """`order`, filled up where several replicas must each have the same number of micro-batches."""
    if processes.here().size == 1:
        return order
    return packing.filled(order, settings.batch_rows, tokenizer.eos_token_id)


def adapter(lora: Lora) -> Any:
    """The peft configuration of `lora`."""
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        use_dora=lora.dora,
        use_rslora=lora.rslora,
    )


def accumulation(settings: Settings) -> int:
    """Micro-batches a step on each replica. Raises `BadInput` if the batch is no whole number of them."""
    return devices.accumulation(settings.batch_rows, settings.micro_batch_rows, processes.here().size)


def count_steps(order: list[Sequence], settings: Settings) -> int:
    """Optimizer steps; the last one may hold fewer rows."""
    return math.ceil(len(order) / settings.batch_rows)


def tokens_of(rows: Sequence) -> int:
    """Tokens of a sequence, or of a step's rows."""
    return sum(len(row.input_ids) for row in rows)


def rows_of_step(order: list[Sequence], step: int, batch_rows: int) -> list[Example]:
    """The rows of `step`, which counts from 1."""
    return [row for sequence in order[(step - 1) * batch_rows : step * batch_rows] for row in sequence]


def anyone(says: bool) -> bool:
    """Whether `here` is true in any process: all must stop after the same step."""
    import torch
    from accelerate import PartialState

    if processes.here().size == 1:
        return says
    said = torch.tensor(int(says), device=PartialState().device)
    torch.distributed.all_reduce(said)
    return bool(said)


def wait_for_all() -> None:
    """Wait until all processes are here."""
    if processes.here().size > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def remove_refused(saves: Path, newest: Path | None) -> None:
    """Remove incomplete and damaged saves, which the trainer would count among those it keeps."""
    for path in saves.glob("checkpoint-*"):
        if path != newest and not checkpoint.is_valid(path):
            shutil.rmtree(path)
