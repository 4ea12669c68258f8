"""Training: loss by step, and the parameters."""

from dataclasses import dataclass
from typing import Any

from stages.lib.artifacts import Artifact
from stages.lib.report import figures, tables


@dataclass(frozen=True)
class Training:
    """First and last loss, the last validation loss if rows were held out, the plot, the parameters; of a file of one's
    own its name and its rows by split, else "" and none."""

    first: float
    last: float
    validation_last: float | None
    curve: str
    parameters: list[tuple[str, str]]
    own_file: str
    own_rows: dict[str, int]


def read(model: Artifact) -> Training:
    """From the model's log.jsonl; each line has `step` and `loss` or `eval_loss`."""
    entries = tables.lines(model, "log.jsonl")
    train = [(entry["step"], entry["loss"]) for entry in entries if "loss" in entry]
    held_out = [(entry["step"], entry["eval_loss"]) for entry in entries if "eval_loss" in entry]
    return Training(
        first=train[0][1],
        last=train[-1][1],
        validation_last=held_out[-1][1] if held_out else None,
        curve=figures.loss(_columns(train), _columns(held_out)),
        parameters=list(flatten(model.params)),
        own_file=model.params.get("file", ""),
        own_rows={"train": 0, "validation": 0} | model.params.get("file_rows", {}),
    )


def flatten(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested parameters as `section.key` and a readable value."""
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            found += flatten(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return found


def _columns(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [step for step, _ in pairs], [loss for _, loss in pairs]
