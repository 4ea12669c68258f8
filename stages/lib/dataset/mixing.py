"""Rows of other datasets among those that `train` learns from, by share."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.lib import artifacts
from stages.lib.dataset import rows as dataset_rows
from stages.lib.errors import BadInput
from stages.lib.models import prompts
from stages.lib.params import Section
from stages.lib.records import Row


class Part(Section):
    """One of train.mix: a file of rows or a dataset's folder, as train.file, and its share of all training rows; null:
    every row that it has."""

    file: str
    share: float | None = Field(default=None, gt=0, lt=1)


def mix(
    own: Sequence[Row], held_out: Sequence[Row], parts: Sequence[Part], seed: int
) -> tuple[list[Row], list[artifacts.Artifact], list[dict[str, Any]]]:
    """`own` rows followed by those drawn from `parts`; the datasets among these, as inputs; and what was taken of each.

    Of a dataset the training rows are taken, of a file all. A row that `own`, `held_out` or an earlier part has is left
    out. Raises `BadInput` for shares that leave nothing to `own`, and for a part with fewer rows than its share.
    """
    wholes = [part for part in parts if part.share is None]
    known = {_said(row) for row in (*own, *held_out)}
    given = {part.file: _others(part.file, known) for part in parts}
    fixed = len(own) + sum(len(given[part.file]) for part in wholes)
    left = 1 - sum(part.share or 0 for part in parts)
    if left < 1e-9:
        raise BadInput(f"params.yaml: train.mix: the shares add up to {1 - left:g} and leave none to train.file")
    mixed, facts = list(own), []
    for number, part in enumerate(parts):
        have, count = given[part.file], round(fixed * (part.share or 0) / left)
        if part.share is None:
            count = len(have)
        if count > len(have):
            raise BadInput(
                f"params.yaml: train.mix: a share of {part.share:g} is {count} rows of {part.file}, but it has "
                f"{len(have)} that train.file lacks; lower the share, or train.rows"
            )
        chosen = sorted(random.Random(f"{seed} mix {number}").sample(range(len(have)), count))
        mixed += [have[at] for at in chosen]
        facts.append({**_origin(part.file), "share": part.share, "rows": count})
    return mixed, [artifacts.open(part.file) for part in parts if Path(part.file).is_dir()], facts


def without(rows: Sequence[Row], others: Sequence[Row]) -> list[Row]:
    """`rows` less those that say the same as one of `others`."""
    known = {_said(row) for row in others}
    return [row for row in rows if _said(row) not in known]


def _others(file: str, known: set[tuple[str, ...]]) -> list[Row]:
    """The rows of `file` whose text is not `known`; it is then."""
    if Path(file).suffix and not Path(file).is_dir():
        rows = dataset_rows.read_own(Path(file), "train.mix")
    else:
        rows = dataset_rows.read(file, 0.0)["train"]
    found = []
    for row in rows:
        if _said(row) not in known:
            known.add(_said(row))
            found.append(row)
    return found


def _said(row: Row) -> tuple[str, ...]:
    row = prompts.fold(row)
    return (artifacts.canonical(row.get("history", [])), row["instruction"], row["input"], row["output"])


def _origin(file: str) -> dict[str, str]:
    """What names the rows in the model's seal."""
    if Path(file).is_dir():
        return {"dataset": artifacts.open(file).root}
    return {"file": Path(file).name, "file_sha256": artifacts.hash_file(Path(file))}
