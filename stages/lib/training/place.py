"""Which dataset a run trains on, and where its model goes."""

from dataclasses import dataclass
from typing import Any

from stages.lib.errors import BadInput


@dataclass(frozen=True)
class Place:
    """Path of the model, the stage's name, and the keys of `train` that do not hold there."""

    model: str
    stage: str
    changes: dict[str, Any]


def of(key: str) -> Place:
    """The place of train ("") or of train@evolved-ROUND, which trains on all rows of data/evolved/ROUND.

    Raises `BadInput` for another key.
    """
    if not key:
        return Place("models/tuned", "train", {})
    number = key.removeprefix("evolved-")
    if not number.isdecimal() or number == key:
        raise BadInput(f"train@{key}: use train or train@evolved-ROUND, such as train@evolved-1")
    changes: dict[str, Any] = {"file": f"data/evolved/{number}", "rows": None, "mix": []}  # of train.file alone
    return Place(f"models/evolved/{number}", f"train@{key}", changes)
