"""train: the base model is tuned on the instruction dataset, with TRL's SFTTrainer.

Reads   data/dataset/train.jsonl and validation.jsonl, the base model named in params.yaml (train.model)
Writes  models/tuned/adapter or model    LoRA's weights, or all of them, as peft and transformers load them
        models/tuned/log.jsonl           a line a step: loss, learning rate, gradient norm; validation loss
        models/tuned/set_aside.jsonl     rows over train.max_tokens, never cut in silence
        models/tuned/README.md           the model card
        metrics/train.json, plots/train.csv

A row is asked in the paper's prompt; the loss is on the response and its end token only. Progress is saved
every save_steps: a killed run goes on after the last save, on a CPU to the very same weights.
"""

import logging
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.lib import artifacts, checkpoint, models, params, prompts, records
from stages.lib.errors import BadInput
from stages.lib.training import examples
from stages.lib.training.examples import Example


class Lora(params.Section):
    """The keys of train.lora; used where train.method is lora."""

    rank: int = Field(ge=1)
    alpha: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)
    targets: str | list[str]


class Params(params.Section):
    """The section `train` of params.yaml."""

    model: str
    method: Literal["lora", "full"]
    lora: Lora
    epochs: int = Field(ge=1)
    batch_rows: int = Field(ge=1)
    micro_batch_rows: int = Field(ge=1)  # padding differs between micro-batches, and with it the last bits
    max_tokens: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    schedule: Literal["cosine", "linear", "constant_with_warmup"]
    warmup_share: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    max_grad_norm: float = Field(gt=0)
    precision: Literal["float32", "bfloat16"]
    activation_checkpointing: bool
    seed: int
    threads: int = Field(ge=1)  # on a CPU: the order of summing, and with it the last bits, follows the threads
    save_steps: int = Field(ge=1, exclude=True)
    device: Literal["auto", "cpu", "cuda"] = Field(exclude=True)


log = logging.getLogger("tidemill.train")


def main() -> None:
    knobs = params.load("train", Params)
    data = artifacts.open("data/dataset")
    model, tokenizer = load(knobs)
    made_with = {**knobs.result, "model_sha256": models.fingerprint(knobs.model)}
    rows, too_long = read(data, "train", tokenizer, knobs)
    held_out, _ = read(data, "validation", tokenizer, knobs)
    if not rows:
        raise BadInput(f"data/dataset: none of its {len(too_long)} training rows has at most {knobs.max_tokens} tokens")
    order = examples.in_order(rows, knobs.epochs, knobs.seed)
    saves = checkpoint.folder("train", [data], made_with, knobs.seed)
    log.info("%d rows, %d set aside, %d to validate on", len(rows), len(too_long), len(held_out))
    tuned, entries = tune(model, tokenizer, order, held_out, knobs, saves)
    facts = count(knobs, rows, too_long, held_out, entries, tuned)
    with artifacts.create("models/tuned", stage="train", inputs=[data], params=made_with, seed=knobs.seed) as out:
        write(out, tuned, tokenizer, knobs)
        records.write_lines(out / "log.jsonl", entries)
        records.write_lines(out / "set_aside.jsonl", describe(too_long))
        (out / "README.md").write_text(card(knobs, data, facts), encoding="utf-8")
        artifacts.write_metrics("train", facts)
        artifacts.write_series("train", [entry for entry in entries if "loss" in entry])
    checkpoint.discard(saves)


def load(knobs: Params) -> tuple[Any, Any]:
    """The base model and its tokenizer. Raises `BadInput` for one that cannot be trained."""
    import torch

    torch.set_num_threads(knobs.threads)
    return models.load_causal(knobs.model)


def read(data: artifacts.Artifact, split: str, tokenizer: Any, knobs: Params) -> tuple[list[Example], list[Example]]:
    """The rows of `split` as token ids: those that fit, and those over max_tokens."""
    rows = examples.read(data.file(f"{split}.jsonl"))
    return examples.fitting([examples.encode(row, tokenizer) for row in rows], knobs.max_tokens)


def tune(
    model: Any, tokenizer: Any, order: list[Example], held_out: list[Example], knobs: Params, saves: Path
) -> tuple[Any, list[dict[str, Any]]]:
    """The tuned model, and its log, an entry a step or evaluation."""
    from stages.lib.training import trainer

    settings = trainer.Settings(
        lora=trainer.Lora(**knobs.lora.model_dump()) if knobs.method == "lora" else None,
        epochs=knobs.epochs,
        batch_rows=knobs.batch_rows,
        micro_batch_rows=knobs.micro_batch_rows,
        learning_rate=knobs.learning_rate,
        schedule=knobs.schedule,
        warmup_share=knobs.warmup_share,
        weight_decay=knobs.weight_decay,
        max_grad_norm=knobs.max_grad_norm,
        precision=knobs.precision,
        activation_checkpointing=knobs.activation_checkpointing,
        seed=knobs.seed,
        save_steps=knobs.save_steps,
        device=models.device(knobs.device),
    )
    return trainer.fit(model, tokenizer, order, held_out, settings, saves)


def count(
    knobs: Params,
    rows: list[Example],
    too_long: list[Example],
    held_out: list[Example],
    entries: list[dict[str, Any]],
    tuned: Any,
) -> dict[str, Any]:
    losses = [entry["loss"] for entry in entries if "loss" in entry]
    validation = [entry["eval_loss"] for entry in entries if "eval_loss" in entry] or [None]
    return {
        "rows": len(rows),
        "rows_set_aside": len(too_long),
        "validation_rows": len(held_out),
        "tokens": sum(len(row.input_ids) for row in rows),  # of one epoch
        "response_tokens": sum(label != examples.IGNORED for row in rows for label in row.labels),
        "steps": len(losses),
        "parameters": sum(weights.numel() for weights in tuned.parameters()),
        "trainable_parameters": sum(weights.numel() for weights in tuned.parameters() if weights.requires_grad),
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "validation_loss_before": validation[0],
        "validation_loss_after": validation[-1],
    }


def write(out: Path, tuned: Any, tokenizer: Any, knobs: Params) -> None:
    from stages.lib.training import output

    output.write(out, tuned, tokenizer, knobs.model, knobs.method)


def describe(too_long: list[Example]) -> list[dict[str, Any]]:
    return [{"id": row.id, "reason": "too long", "tokens": len(row.input_ids)} for row in too_long]


def card(knobs: Params, data: artifacts.Artifact, facts: dict[str, Any]) -> str:
    from stages.lib.training import output

    prompt = prompts.render("{instruction}", "{input}")
    return output.card({**knobs.result, **facts, "base": knobs.model, "dataset": data.root, "prompt": prompt})
