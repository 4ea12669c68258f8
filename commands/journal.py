"""Shows what the journal holds and cost: `make journal`; COMPACT=1 drops records that nothing reads."""

import argparse
import os
from collections import Counter
from pathlib import Path

from stages.lib.errors import BadInput
from stages.lib.teacher import journal, sharing

COLUMNS = ("responses", "prompt tokens", "answer tokens", "US dollars")


def main(arguments: list[str]) -> None:
    """Print the inventory, or compact the journal. Raises `BadInput` if there is none."""
    parser = argparse.ArgumentParser(prog="make journal", description=__doc__)
    parser.add_argument("--compact", action="store_true")
    if parser.parse_args(arguments).compact:
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
        said += ["", f"{title:<48}" + "".join(f"{column:>15}" for column in COLUMNS)]
        for (_, name), count in sorted(item for item in sums.items() if item[0][0] == kind):
            numbers = "".join(f"{count[column]:>15,}" for column in COLUMNS[:3])
            said.append(f"{name[-47:]:<48}{numbers}{count[COLUMNS[3]]:>15,.4f}")
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
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as stream:
            for number, record in enumerate(journal.records(path)):
                if record is not None and last[key := bytes.fromhex(record["key"])] == number:
                    stream.write(journal.to_line({**record, "cost": cost[key]}))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    return before, path.stat().st_size


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
