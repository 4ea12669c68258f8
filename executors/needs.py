"""What stages need of this machine, so that those run side by side that fit into it together.

By containers/stages.yaml, `memory: [GiB, times]`: GiB of its own, and so many times the bytes of the models it loads. A
stage without it, or with a model whose size is not known here, needs the machine for itself; and of the stages that
can use a GPU only one runs at a time where there is one.
"""

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from stages.lib import params
from stages.lib.errors import BadInput
from stages.lib.models import location, memory, weights

STAGES = Path("containers/stages.yaml")
GPU = Path("/dev/nvidiactl")


def entry(stage: str) -> dict[str, Any]:
    """What containers/stages.yaml says of a stage; nothing for one that it does not name."""
    return dict(params.read(STAGES).get(stage.partition("@")[0], {}))


def fit(stages: Collection[str], room: float) -> bool:
    """Whether `stages` can run side by side in `room` bytes of memory."""
    if not STAGES.is_file():
        return False
    if GPU.exists() and sum(entry(stage).get("image") == "cpu or gpu" for stage in stages) > 1:
        return False
    return sum(needed(stage) for stage in stages) <= room


def room() -> float:
    """The bytes of memory that are free now, 0 where the system does not say."""
    try:
        return memory.available()
    except OSError:
        return 0.0


def needed(stage: str) -> float:
    """Bytes of memory that `stage` takes at the most, infinite where that is not known."""
    said = entry(stage)
    if "memory" not in said:
        return math.inf
    own, times = said["memory"]
    return float(own * memory.GIB + times * sum(map(_size, _models(said.get("models", ())))))


def _models(sections: Collection[str]) -> set[str]:
    """The models that these sections of params.yaml name."""
    values = params.merged()
    return {name for section in sections if section in values for name in _names(params.completed(values, section))}


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _names(inner)
    elif isinstance(value, str) and value.partition(":")[0] in ("weights", "package", "path", "hub"):
        yield value


def _size(model: str) -> float:
    """The bytes of a model's files; infinite for one that would have to be fetched to know."""
    if model.startswith(weights.SCHEME):
        return weights.load(model.removeprefix(weights.SCHEME)).bytes
    if model.startswith("hub:"):
        return math.inf
    try:
        path = location.locate(model)
    except BadInput:  # the stage will say so
        return math.inf
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
