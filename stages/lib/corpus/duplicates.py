"""Near duplicates: MinHash LSH proposes pairs, the exact Jaccard similarity of their shingles decides.

Broder, "On the resemblance and containment of documents" (1997), for shingles and MinHash; datasketch
for the sketch and its index.
"""

import re
from collections.abc import Sequence

import xxhash

_TOKEN = re.compile(r"\w+|[^\w\s]")
_SEED = 1  # of MinHash's permutations: it fixes which pairs are looked at
_OVERLOOKED = 0.01  # how likely LSH may overlook a pair whose similarity is just the threshold


def near_duplicates(
    texts: Sequence[str], threshold: float, shingle: int = 5, permutations: int = 128
) -> list[int | None]:
    """For each text the index of the earliest kept text that it nearly repeats, or None: then it is kept itself.

    Two texts are near duplicates if the Jaccard similarity of their sets of `shingle` consecutive
    tokens (words and single signs; white space does not count) is `threshold` or more. A text is
    compared with kept texts only, so that no chain of small changes removes a whole family.
    Every pair that LSH proposes is checked; it overlooks one in a hundred at the threshold, fewer above it,
    and with more `permutations` it proposes fewer in vain.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=permutations, params=_bands(threshold, permutations))
    base = MinHash(num_perm=permutations, seed=_SEED, hashfunc=int)
    kept: dict[int, frozenset[int]] = {}
    found: list[int | None] = []
    for row, text in enumerate(texts):
        shingles = _shingles(text, shingle)
        sketch = base.copy()
        sketch.update_batch([value & 0xFFFFFFFF for value in shingles])
        near = (other for other in sorted(index.query(sketch)) if _jaccard(shingles, kept[other]) >= threshold)
        first = next(near, None)
        found.append(first)
        if first is None:
            index.insert(row, sketch)
            kept[row] = shingles
    return found


def _bands(threshold: float, permutations: int) -> tuple[int, int]:
    """Bands and rows of the LSH index: the most rows, so the fewest vain proposals, that overlook few enough.

    A pair of similarity s is overlooked with probability (1 - s^rows)^bands (Leskovec, Rajaraman and Ullman,
    "Mining of Massive Datasets", section 3.4.2).
    """
    choices = ((permutations // rows, rows) for rows in range(permutations // 2, 0, -1))
    enough = ((bands, rows) for bands, rows in choices if (1 - threshold**rows) ** bands <= _OVERLOOKED)
    return next(enough, (permutations, 1))


def _shingles(text: str, size: int) -> frozenset[int]:
    tokens = _TOKEN.findall(text)
    starts = range(max(1, len(tokens) - size + 1))
    return frozenset(xxhash.xxh64_intdigest("\0".join(tokens[start : start + size]).encode()) for start in starts)


def _jaccard(left: frozenset[int], right: frozenset[int]) -> float:
    return len(left & right) / len(left | right)
