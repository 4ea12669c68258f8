"""Which model answers, and where its answers and scores are stored."""

from dataclasses import dataclass

from stages.lib.errors import BadInput


@dataclass(frozen=True)
class Place:
    """Paths by the key of sample and score; `model` is "" for the base model. A round of evolution `chooses`: its
    problems are evolve.validation's."""

    model: str
    completions: str
    scores: str
    chooses: bool = False


def of(key: str, stage: str = "sample") -> Place:
    """The place of base, tuned or evolved-ROUND. Raises `BadInput` for another key."""
    if key in ("base", "tuned"):
        return Place("models/tuned" if key == "tuned" else "", f"data/completions/{key}", f"data/scores/{key}")
    number = key.removeprefix("evolved-")
    if not number.isdecimal() or number == key:
        raise BadInput(f"{stage}@{key}: use {stage}@base, {stage}@tuned or {stage}@evolved-ROUND")
    return Place(
        f"models/evolved/{number}", f"data/completions/evolved/{number}", f"data/scores/evolved/{number}", chooses=True
    )
