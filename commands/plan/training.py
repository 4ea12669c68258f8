"""Estimates the memory and hours of the training in params.yaml before it starts."""

from pathlib import Path
from typing import Any

from stages.lib import params, processes
from stages.lib.dataset import material, mixing
from stages.lib.models import causal, chat, location
from stages.lib.training import devices as training_devices
from stages.lib.training import examples, flops, requirements
from stages.lib.training.requirements import GIB


def describe(devices: int | None, memory: float | None, tflops: float | None) -> list[str]:
    """The plan for params.yaml's `train` as lines. `memory` is in GiB and `tflops` in TFLOP/s per device; None means
    what is found or measured here. Raises `BadInput` if it cannot fit."""
    section = params.merged()["train"]
    device = location.device(section["device"])
    run = requirements.run_of(section, devices or _devices_here(section, device), device)
    available = memory * GIB if memory else requirements.available_bytes(device)
    needed = requirements.require(causal.look_at_config(section["model"]), run, available)
    rate = tflops * 1e12 if tflops else flops.matrix_rate(device, section["precision"])
    lines = [
        f"train: {section['model']}, {needed.parameters:,} parameters, {needed.trainable:,} trained",
        f"memory on each of {run.devices} {device} devices: {needed.total / GIB:.1f} GiB "
        f"({requirements.describe(needed)})",
        f"available: {available / GIB:.1f} GiB",
    ]
    if (tokens := _dataset_tokens(section)) is not None:
        seconds = tokens * needed.flops_per_token / (rate * requirements.UTILISATION * run.devices)
        lines.append(
            f"time: {tokens:,} tokens at {requirements.UTILISATION:.0%} of {rate / 1e12:.2f} TFLOP/s per device: "
            f"about {duration(seconds)}"
        )
    return lines


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever is read most easily."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _devices_here(section: dict[str, Any], device: str) -> int:
    return processes.machines() * training_devices.on_this_machine(section["processes"], device)


def _dataset_tokens(section: dict[str, Any]) -> int | None:
    """Tokens over all epochs; None if the rows are not here yet."""
    if not Path(section["file"]).exists():
        return None
    form = section.get("prompt", "alpaca")
    tokenizer = chat.load_tokenizer(section["model"], form)
    others = [mixing.Part.model_validate(part) for part in section.get("mix", [])]
    rows_from = section["file"], section["validation_share"], section.get("validation_file"), section["rows"], others
    rows = material.gather(*rows_from, section["seed"]).train
    fit, _ = examples.fitting([examples.encode(row, tokenizer, form) for row in rows], section["max_tokens"])
    return int(section["epochs"]) * sum(len(row.input_ids) for row in fit)
