"""train: tunes the base model on the instruction dataset, with TRL's SFTTrainer.

Reads   train.file: data/dataset, or a file of your own rows; the base model train.model
        (train@evolved-ROUND: data/evolved/ROUND instead, and models/evolved/ROUND for models/tuned)
Writes  models/tuned/adapter or model    LoRA's weights, or all of them, in peft's and transformers' format
        models/tuned/model               with train.merge, LoRA's weights merged into the base
        models/tuned/log.jsonl           a line per step: loss, learning rate, gradient norm; validation loss
        models/tuned/held_out.jsonl      the tuned model's loss on each validation row
        models/tuned/set_aside.jsonl     rows over train.max_tokens; rows are never truncated
        models/tuned/README.md           the model card
        metrics/train.json, plots/train.csv

Rows use the paper's prompt, or the base model's chat template; the loss covers only the response and its end token.
train.mix adds rows of other datasets. Progress is saved every save_steps: a
killed run resumes after the last save, on a CPU to the same weights. A run too large for the memory is refused before
anything is loaded. With several devices, one process per device takes its share of every batch.
"""

import logging
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from stages.lib import artifacts, checkpoint, params, processes, progress, records
from stages.lib.benchmarks import references
from stages.lib.benchmarks.validation import Validation
from stages.lib.dataset import material, mixing
from stages.lib.errors import BadInput
from stages.lib.models import causal, chat, location, prompts
from stages.lib.records import Row
from stages.lib.training import devices, examples, held_out, output, packing, place, requirements
from stages.lib.training.examples import Example
from stages.lib.training.packing import Sequence


class Lora(params.Section):
    """The keys of train.lora, used if train.method is lora."""

    rank: int = Field(ge=1)
    alpha: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)
    targets: str | list[str]
    dora: bool = params.new(False)
    rslora: bool = params.new(False)


class Params(params.Section):
    """The section `train` of params.yaml."""

    model: str
    method: Literal["lora", "full"]
    lora: Lora
    merge: bool
    prompt: prompts.FormName = params.new("alpaca")
    file: str = Field(exclude=True)  # where the rows lie; what they are is recorded
    validation_share: float = Field(ge=0, lt=1)
    validation_file: str | None = Field(default=None, exclude=True)  # as file
    validation_benchmark: Validation | None = params.new(None)
    rows: int | None = Field(ge=1)
    mix: list[mixing.Part] = Field(default=[], exclude=True)  # what was mixed in is recorded
    epochs: int = Field(ge=1)
    batch_rows: int = Field(ge=1)
    micro_batch_rows: int = Field(ge=1)  # changes padding, and so the last bits
    max_tokens: int = Field(ge=2)
    copied_share: Annotated[float, Field(gt=0, le=1)] = params.new(1.0)
    packing: Literal["none", "padding_free", "best_fit"]
    learning_rate: float = Field(gt=0)
    schedule: Literal["cosine", "linear", "constant_with_warmup"]
    warmup_share: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    max_grad_norm: float = Field(gt=0)
    precision: Literal["float32", "bfloat16"]
    activation_checkpointing: bool
    sharding: Literal["none", "fsdp"]
    seed: int
    threads: int = Field(ge=1)  # on a CPU it changes the order of summation, and so the last bits
    processes: int | Literal["auto"] = Field(exclude=True)  # the count is recorded: made_with["devices"]
    save_steps: int = Field(ge=1, exclude=True)
    tensorboard: bool = Field(exclude=True)
    device: Literal["auto", "cpu", "cuda"] = Field(exclude=True)


log = logging.getLogger("tidemill.train")


def main(key: str = "") -> None:
    where = place.of(key)
    knobs = params.load("train", Params).model_copy(update=where.changes)
    here = devices.on_this_machine(knobs.processes, location.device(knobs.device))
    if not processes.is_started() and here * processes.machines() > 1:
        processes.launch(where.stage, here)
    else:
        train(knobs, processes.here(), where)


def train(knobs: Params, world: processes.World, where: place.Place) -> None:
    """One process of the run; the first one seals the result."""
    if not world.leads:
        logging.getLogger("tidemill").setLevel(logging.WARNING)
    rows_from = (knobs.file, knobs.validation_share, knobs.validation_file, knobs.rows, knobs.mix)
    solutions = references.rows(knobs.validation_benchmark) if knobs.validation_benchmark else []
    given = material.gather(*rows_from, knobs.seed, solutions)
    with progress.work("reading the base model's settings"):
        needed, tokenizer = fit_into_memory(knobs, world), chat.load_tokenizer(knobs.model, knobs.prompt)
    rows, too_long = encode(given.train, tokenizer, knobs)
    validation, _ = encode(given.validation, tokenizer, knobs.model_copy(update={"copied_share": 1.0}))
    if not rows:
        raise BadInput(
            f"{knobs.file}: none of its {len(too_long)} training rows fits train.max_tokens ({knobs.max_tokens})"
        )
    order = packing.in_order(rows, knobs.epochs, knobs.seed, knobs.max_tokens if knobs.packing == "best_fit" else None)
    base = {"model_sha256": location.fingerprint(knobs.model), "devices": world.size}
    made_with = {**knobs.result, **base, **given.source}
    saves = checkpoint.folder(where.stage, given.inputs, made_with, knobs.seed)
    log.info("%d rows, %d set aside, %d to validate on", len(rows), len(too_long), len(validation))
    at_the_end = bool(solutions) and knobs.sharding == "none"  # a comparison of runs reads no other loss
    tuned = tune(knobs, tokenizer, order, [] if at_the_end else validation, saves, needed)
    if not world.leads:
        return
    facts = output.count(rows, too_long, validation, tuned)
    losses = held_out.losses(tuned.model, validation) if knobs.sharding == "none" else []  # shares answer only together
    if at_the_end and losses:
        facts["validation_loss_after"] = sum(one["loss"] for one in losses) / len(losses)
    with artifacts.create(
        where.model, stage=where.stage, inputs=given.inputs, params=made_with, seed=knobs.seed
    ) as out:
        output.write(out, tuned.model, tuned.weights, tokenizer, knobs.model, knobs.method, knobs.prompt)
        if knobs.merge and knobs.method == "lora":
            output.write_merged(out)
        records.write_lines(out / "log.jsonl", tuned.entries)
        aside = [{"id": row.id, "reason": "too long", "tokens": len(row.input_ids)} for row in too_long]
        records.write_lines(out / "set_aside.jsonl", aside)
        if knobs.sharding == "none":
            records.write_lines(out / held_out.FILE, losses)
        (out / "README.md").write_text(card(knobs, given.inputs, given.source | facts), encoding="utf-8")
        artifacts.write_metrics(where.stage, facts)
        artifacts.write_series(where.stage, [entry for entry in tuned.entries if "loss" in entry])
    checkpoint.discard(saves)


def fit_into_memory(knobs: Params, world: processes.World) -> requirements.Estimate:
    """What the run needs. Raises `BadInput` for a run that is too large, or for settings that do not combine."""
    device = location.device(knobs.device)
    config = causal.load_config(knobs.model)
    devices.check_sharding(knobs.sharding, world.size)
    devices.accumulation(knobs.batch_rows, knobs.micro_batch_rows, world.size)
    run = requirements.run_of(knobs.model_dump(), world.size, device)
    return requirements.require(
        config, run, requirements.available_bytes(device) / (world.size if device == "cpu" else 1)
    )


def encode(rows: list[Row], tokenizer: Any, knobs: Params) -> tuple[list[Example], list[Example]]:
    """`rows` as token ids: those that fit, and those over train.max_tokens."""
    return examples.fitting(
        [examples.encode(row, tokenizer, knobs.prompt, knobs.copied_share) for row in rows], knobs.max_tokens
    )


def tune(
    knobs: Params,
    tokenizer: Any,
    order: list[Sequence],
    validation: list[Example],
    saves: Path,
    needed: requirements.Estimate,
) -> Any:
    """The tuned model and its log (trainer.Tuned), an entry per step or evaluation."""
    import torch

    from stages.lib.training import flops, trainer
    from stages.lib.training.watch import Speed

    torch.set_num_threads(knobs.threads)
    device, world = location.device(knobs.device), processes.here()
    with progress.work("loading the base model"):
        model = trainer.load(knobs.model, knobs.method, knobs.precision, device)
    if knobs.packing != "none":
        packing.keep_apart(model, [row for sequence in order for row in sequence])
    settings = trainer.Settings(
        **knobs.model_dump(include=trainer.SETTINGS),
        lora=trainer.Lora(**knobs.lora.model_dump()) if knobs.method == "lora" else None,
        packed=knobs.packing != "none",
        save_steps=knobs.save_steps,
        device=device,
        board=Path(".tidemill/tensorboard/train") / saves.name if knobs.tensorboard else None,
    )
    with progress.work("measuring this machine's speed"):
        rate = flops.matrix_rate(device, knobs.precision) * (world.size if device == "cuda" else 1)
    return trainer.fit(model, tokenizer, order, validation, settings, saves, Speed(needed.flops_per_token, rate))


def card(knobs: Params, inputs: list[artifacts.Artifact], facts: dict[str, Any]) -> str:
    prompt = prompts.render("{instruction}", "{input}") if knobs.prompt == "alpaca" else None
    about = {"base": knobs.model, "licence": output.licence(knobs.model), "dataset": [one.root for one in inputs]}
    return output.card({**knobs.result, **facts, **about, "prompt": prompt})
