"""One stage's work shared out: each of N processes makes every N-th of its saves, and a run of the whole seals.

A stage that shards numbers its saves (stages/lib/checkpoint.py) by inputs and parameters alone, so that neither the
number of shards nor who made a save can move a bit of the result. `stages/run embed --shard 1/4` makes the saves 1, 5,
9, … and no artifact. A run without --shard takes the saves that are there, makes the others, and seals.
"""

import os
import re

from stages.lib.errors import BadInput

VARIABLE = "TIDEMILL_SHARD"  # INDEX/COUNT, set by stages/run


def mine(saves: int) -> range:
    """The numbers, out of `saves`, of those that this process makes: all of them, or those of its shard."""
    index, count = parse(os.environ.get(VARIABLE, "0/1"))
    return range(index, saves, count)


def is_one() -> bool:
    """Whether this process makes the saves of one shard, and no artifact."""
    return VARIABLE in os.environ


def parse(words: str) -> tuple[int, int]:
    """Index and count of "1/4". Raises `BadInput` for anything but a count of 1 or more and an index below it."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", words)
    index, count = map(int, found.groups()) if found else (1, 0)
    if index >= count:
        raise BadInput(f"--shard takes INDEX/COUNT, 0/4 to 3/4 for four shards; found {words!r}")
    return index, count
