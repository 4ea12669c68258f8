"""Near duplicates: MinHash LSH proposes pairs, the exact Jaccard similarity of their shingles decides.

Broder, "On the resemblance and containment of documents" (1997), for shingles and MinHash; datasketch
for the sketch and its index.
"""

import re
from collections.abc import Sequence

import xxhash

_TOKEN = re.compile(r"\w+|[^\w\s]")
_SEED = 1  # of MinHash's permutations: it fixes which pairs are looked at
_WEIGHTS = (0.1, 0.9)  # of proposing a pair in vain and of overlooking one: the former only costs a comparison


def near_duplicates(
    texts: Sequence[str], threshold: float, shingle: int = 5, permutations: int = 128
) -> list[int | None]:
    """For each text the index of the earliest kept text that it nearly repeats, or None: then it is kept itself.

    Two texts are near duplicates if the Jaccard similarity of their sets of `shingle` consecutive
    tokens (words and single signs; white space does not count) is `threshold` or more. A text is
    compared with kept texts only, so that no chain of small changes removes a whole family.
    `permutations` sets how seldom LSH overlooks a pair; a pair that it proposes is always checked.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=threshold, num_perm=permutations, weights=_WEIGHTS)
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


def _shingles(text: str, size: int) -> frozenset[int]:
    tokens = _TOKEN.findall(text)
    starts = range(max(1, len(tokens) - size + 1))
    return frozenset(xxhash.xxh64_intdigest("\0".join(tokens[start : start + size]).encode()) for start in starts)


def _jaccard(left: frozenset[int], right: frozenset[int]) -> float:
    return len(left & right) / len(left | right)
