"""The rows that a model is tuned and validated on, and what is recorded of where they come from."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lib import artifacts
from stages.lib.dataset import mixing, rows
from stages.lib.errors import BadInput
from stages.lib.records import Row


@dataclass(frozen=True)
class Material:
    """`inputs`: the datasets among the sources; `source`: what is recorded of them and of the files."""

    train: list[Row]
    validation: list[Row]
    inputs: list[artifacts.Artifact]
    source: dict[str, Any]


def gather(
    file: str,
    validation_share: float,
    validation_file: str | None,
    count: int | None,
    mix: Sequence[mixing.Part],
    seed: int,
    references: Sequence[Row] = (),
) -> Material:
    """`count` rows of `file` with those of `mix`, and the rows to validate on: `references`, or those of
    `validation_file`, or else the split that `file` has. A training row that says what one of the first two says is
    left out.

    Raises `BadInput` as `rows.read`, `drawn` and `mixing.mix` do.
    """
    parts = rows.read(file, validation_share)
    inputs, source = rows.origin(file, parts)
    train, validation = parts["train"], parts.get("validation", [])
    if references and validation_file:
        raise BadInput("params.yaml: train.validation_file and train.validation_benchmark: keep one of them")
    if references:
        validation = list(references)
        source = source | {"validation_sha256": artifacts.digest(validation)}
    elif validation_file:
        validation = rows.read_own(Path(validation_file), "train.validation_file")
        source = source | {"validation_sha256": artifacts.hash_file(Path(validation_file))}
    if references or validation_file:
        train = mixing.without(train, validation)
    train, others, mixed = mixing.mix(drawn(train, count, seed), validation, mix, seed)
    return Material(train, validation, [*inputs, *others], source | ({"mix": mixed} if mixed else {}))


def drawn(rows: list[dict[str, Any]], count: int | None, seed: int) -> list[dict[str, Any]]:
    """`count` of `rows`, drawn without replacement (paper, section 4.3), or all of them; in file order.

    Raises `BadInput` if there are fewer.
    """
    if count is None:
        return rows
    if count > len(rows):
        raise BadInput(f"params.yaml: train.rows: {count}, but there are only {len(rows)} rows to train on")
    return [rows[at] for at in sorted(random.Random(f"{seed} rows").sample(range(len(rows)), count))]
