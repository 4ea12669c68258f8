"""Shows what the journal holds and cost: `make journal`; COMPACT=1 drops records that nothing reads; FORGET=MODEL drops
a model's answers, so that they are asked for again."""

import argparse
import itertools
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from stages.lib.errors import BadInput
from stages.lib.teacher import journal, sharing

FORGOTTEN = "forgotten"  # the model of records that only keep a cost
COLUMNS = ("responses", "prompt tokens", "answer tokens", "US dollars")


def main(arguments: list[str]) -> None:
    """Print the inventory, compact the journal or forget a model. Raises `BadInput` if there is none."""
    parser = argparse.ArgumentParser(prog="make journal", description=__doc__)
    parser.add_argument("--compact", action="store_true")
    parser.add_argument("--forget", metavar="MODEL", default="")
    given = parser.parse_args(arguments)
    if given.forget:
        count = forget(given.forget)
        print(f"forgot {count} responses of {given.forget}; what they cost still counts against the budgets")
    elif given.compact:
        before, after = compact()
        print(f"{journal.FOLDER}: {_size(before)} before, {_size(after)} now")
    else:
        print("\n".join(describe()))


def describe(folder: Path = journal.FOLDER) -> list[str]:
    """Lines: size, responses, then tokens and spend by model and by stage. Raises `BadInput` if there is none."""
    path = _existing(folder)
    sums: dict[tuple[str, str], Counter[str]] = {}
    keys: set[bytes] = set()
    lines = damaged = 0
    for record in journal.records(path):
        lines += 1
        if record is None:
            damaged += 1
            continue
        keys.add(bytes.fromhex(record["key"])[:16])
        for kind in ("model", "label"):
            count = sums.setdefault((kind, record[kind]), Counter())
            amounts = 1, record["prompt_tokens"], record["completion_tokens"], record["cost"]
            count.update(dict(zip(COLUMNS, amounts, strict=True)))
    useless = lines - len(keys)
    said = [f"{path}: {_size(path.stat().st_size)}, {len(keys)} responses"]
    if shared := sharing.segments(folder):
        size = sum(segment.stat().st_size for segment in shared)
        said.append(f"{folder / sharing.SHARED}: {_size(size)} in {len(shared)} segments")
    if useless:
        said.append(f"{damaged} damaged and {useless - damaged} superseded records; make journal COMPACT=1 drops them")
    for kind, title in (("model", "by model"), ("label", "by stage")):
        rows = [(name, count) for (of, name), count in sorted(sums.items(), key=lambda item: item[0]) if of == kind]
        width = max([len(title), *(len(name) for name, _ in rows)])
        said += ["", f"{title:<{width}}" + "".join(f"{column:>15}" for column in COLUMNS)]
        for name, count in rows:
            numbers = "".join(f"{count[column]:>15,}" for column in COLUMNS[:3])
            said.append(f"{name:<{width}}{numbers}{count[COLUMNS[3]]:>15,.4f}")
    return said


def compact(folder: Path = journal.FOLDER) -> tuple[int, int]:
    """Rewrite the journal without damaged and superseded records; its bytes before and after.

    A superseded record's cost is added to its replacement. The new file is on disk before it replaces the old one.
    Raises `BadInput` if a process has the journal open, or there is none.
    """
    path = _existing(folder)
    with journal.alone(folder):
        last: dict[bytes, int] = {}
        cost: Counter[bytes] = Counter()
        for number, record in enumerate(journal.records(path)):
            if record is not None:
                key = bytes.fromhex(record["key"])
                last[key] = number
                cost[key] += record["cost"]
        before = path.stat().st_size
        _rewrite(
            path,
            (
                {**record, "cost": cost[key]}
                for number, record in enumerate(journal.records(path))
                if record is not None and last[key := bytes.fromhex(record["key"])] == number
            ),
        )
    return before, path.stat().st_size


def forget(model: str, folder: Path = journal.FOLDER) -> int:
    """Rewrite the journal without the responses of `model`; returns their number.

    One record a stage keeps their cost, under a key that no request has: forgetting must not lift a budget. Segments in
    journal/shared stay as they are, and are not taken in again. Raises `BadInput` if the journal has none of `model`,
    there is no journal, or a process has it open.
    """
    path = _existing(folder)
    with sharing.opened(folder) as book:
        sharing.take_in(book)
    with journal.alone(folder):
        models, cost, count = set(), Counter[str](), 0
        for record in journal.records(path):
            if record is not None:
                models.add(record["model"])
                if record["model"] == model:
                    cost[record["label"]] += record["cost"]
                    count += 1
        if not count:
            raise BadInput(
                f"{path} has no response of {model!r}; it has those of {', '.join(sorted(models)) or 'none'}"
            )
        kept = (record for record in journal.records(path) if record is not None and record["model"] != model)
        _rewrite(path, itertools.chain(kept, _costs(cost)))
    return count


def _costs(cost: Counter[str]) -> Iterator[dict[str, Any]]:
    """A record for each stage's cost that is not nothing."""
    empty = {"response": "", "finish": "", "prompt_tokens": 0, "completion_tokens": 0}
    for label, usd in cost.items():
        if usd:
            yield {"key": uuid.uuid4().hex * 2, "model": FORGOTTEN, "label": label, "cost": usd, **empty}


def _rewrite(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Replace the journal `path` by `records`, on disk before the old one is gone."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as stream:
        for record in records:
            stream.write(journal.to_line(record))
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def _existing(folder: Path) -> Path:
    path = folder / "exchanges.log"
    if not path.exists():
        raise BadInput(f"{path} does not exist; the first run that asks a teacher creates it")
    return path


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
