"""Splits one stage's work: each of N processes makes every N-th save, and a run without --shard seals.

A sharded stage numbers its saves (stages/lib/checkpoint.py) by inputs and parameters only, so that neither the number
of shards nor who made a save affects the result. `stages/run embed --shard 1/4` makes the saves 1, 5, 9, … and no
artifact. A run without --shard uses existing saves, makes the rest, and seals.
"""

import os
import re

from stages.lib.errors import BadInput

VARIABLE = "TIDEMILL_SHARD"  # INDEX/COUNT, set by stages/run


def mine(saves: int) -> range:
    """The numbers of the saves that this process makes: all, or its shard's."""
    index, count = parse(os.environ.get(VARIABLE, "0/1"))
    return range(index, saves, count)


def takes(save: int) -> bool:
    """Whether this process makes the save of this number, where nobody knows yet how many there will be."""
    index, count = parse(os.environ.get(VARIABLE, "0/1"))
    return save % count == index


def is_one() -> bool:
    """Whether this process is one shard, which makes saves but no artifact."""
    return VARIABLE in os.environ


def parse(words: str) -> tuple[int, int]:
    """Index and count of "1/4". Raises `BadInput` unless 0 <= index < count."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", words)
    index, count = map(int, found.groups()) if found else (1, 0)
    if index >= count:
        raise BadInput(f"--shard takes INDEX/COUNT, 0/4 to 3/4 for four shards; found {words!r}")
    return index, count
