"""Random draws that depend only on a row's id, so that no row's prompt depends on another row."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from stages.lib.errors import BadInput

Item = TypeVar("Item")


def draw_task(row: str, seed: int, mix: Mapping[str, float]) -> str:
    """A task for the row, with probabilities proportional to `mix`."""
    total = sum(mix.values())
    if total <= 0 or min(mix.values()) < 0:
        raise BadInput("generate.mix: shares must not be negative, and one must be above 0")
    return draw_share(f"task:{seed}:{row}", mix)


def draw_share(key: str, shares: Mapping[str, float]) -> str:
    """One of the names in `shares`, with probability proportional to its share; depends only on `key`."""
    left = _uniform(key) * sum(shares.values())
    for name, share in shares.items():
        left -= share
        if left < 0:
            return name
    return max(shares, key=lambda name: shares[name])  # rounding left no interval for the last


def draw_target(row: str, seed: int, languages: Sequence[str], source: str) -> str:
    """One of `languages` other than `source`, equally likely; `source` if there is none."""
    others = [language for language in languages if language != source] or [source]
    return others[int(_uniform(f"target:{seed}:{row}") * len(others))]


def draw_number(key: str, below: int) -> int:
    """A number from 0 to `below` - 1, equally likely; depends only on `key`."""
    return int(_uniform(key) * below)


def rendezvous(row: str, seed: int, items: Mapping[str, Item], count: int) -> list[Item]:
    """`count` of the items by id, drawn for the row by rendezvous hashing: adding an item changes few draws.

    https://en.wikipedia.org/wiki/Rendezvous_hashing
    """
    ordered = sorted(items, key=lambda item: hashlib.sha256(f"{seed}:{row}:{item}".encode()).digest())
    return [items[item] for item in ordered[:count]]


def _uniform(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
