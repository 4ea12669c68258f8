"""Sketches of texts, by which near duplicates are found: shingles, and keys made of their MinHash.

Broder, "On the resemblance and containment of documents" (1997), for both; rensa computes the MinHashes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import xxhash

ROWS_AT_ONCE = 8192  # at most 2^14: a row's number takes the first bits of its shingles while they are sorted
KEPT, SKIPPED = -1, -2  # in place of an earlier row's number
_TOKEN = re.compile(r"\w+|[^\w\s]")
_SEED = 1  # of MinHash's permutations: it fixes which pairs are looked at
_OVERLOOKED = 0.01  # how likely LSH may overlook a pair whose similarity is just the threshold
_BITS = np.uint64(50)  # of a shingle's hash: two unlike shingles of a pair meet once in 10^11 pairs
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Sketches:
    """What the comparison needs of some rows, in their order.

    Row i's shingles are `shingles[starts[i] : starts[i + 1]]`, uint64 hashes in rising order, each once; `bands[i]` its
    keys in the LSH index, uint64 (rows, bands).
    """

    shingles: np.ndarray
    starts: np.ndarray
    bands: np.ndarray


def sketch(texts: Sequence[str], threshold: float, shingle: int, permutations: int) -> Sketches:
    """The sketches of at most ROWS_AT_ONCE texts."""
    import rensa

    shingles, starts = _shingles(texts, shingle)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(shingles, starts.tolist(), permutations, _SEED)
    count, rows = _bands(threshold, permutations)
    signs = np.fromiter(chain.from_iterable(matrix.to_rows()), np.uint64, len(texts) * permutations)
    grouped = signs.reshape(len(texts), permutations)[:, : count * rows].reshape(len(texts), count, rows)
    keys = np.arange(count, dtype=np.uint64)[None, :].repeat(len(texts), axis=0)
    for place in range(rows):
        keys = _mixed(keys * _FACTOR + grouped[:, :, place])
    return Sketches(shingles, starts, keys)


def _bands(threshold: float, permutations: int) -> tuple[int, int]:
    """Bands and rows of the LSH index: the most rows, so the fewest vain proposals, that overlook few enough.

    A pair of similarity s is overlooked with probability (1 - s^rows)^bands (Leskovec, Rajaraman and Ullman,
    "Mining of Massive Datasets", section 3.4.2).
    """
    choices = ((permutations // rows, rows) for rows in range(permutations // 2, 0, -1))
    enough = ((bands, rows) for bands, rows in choices if (1 - threshold**rows) ** bands <= _OVERLOOKED)
    return next(enough, (permutations, 1))


class _Hashes(dict[str, int]):
    """The hashes of tokens, each computed once."""

    def __missing__(self, token: str) -> int:
        return self.setdefault(token, xxhash.xxh64_intdigest(token.encode("utf-8", "surrogatepass")))


def _shingles(texts: Sequence[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """All rows' shingles, one row after another, and where each row's begin: the hashes of `size` tokens in a row, or
    of all tokens of a text that has fewer."""
    tokens = list(map(_TOKEN.findall, texts))
    lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
    flat = np.fromiter(map(_Hashes().__getitem__, chain.from_iterable(tokens)), np.uint64, int(lengths.sum()))
    counts = np.maximum(1, lengths - size + 1)  # shingles of each row
    row = np.repeat(np.arange(len(texts), dtype=np.uint64), counts)
    first = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)  # of the shingle's tokens in its row
    place = first + np.repeat(np.cumsum(lengths) - lengths, counts)
    left = np.repeat(lengths, counts) - first
    hashes = np.zeros(len(row), np.uint64)
    for token in range(size):
        there = left > token
        hashes[there] = hashes[there] * _FACTOR + flat[place[there] + token]
    wide = np.sort((row << _BITS) | (_mixed(hashes) >> (np.uint64(64) - _BITS)))
    wide = wide[np.diff(wide, prepend=~wide[:1]) != 0]
    starts = np.searchsorted(wide, np.arange(len(texts) + 1, dtype=np.uint64) << _BITS)
    return wide & ((np.uint64(1) << _BITS) - np.uint64(1)), starts


def _mixed(values: np.ndarray) -> np.ndarray:
    """Each value's bits spread over all 64 (the finalizer of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
