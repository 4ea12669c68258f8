"""Near duplicates: MinHash LSH proposes pairs, the exact Jaccard similarity of their shingles decides."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages.lib.corpus.sketches import ROWS_AT_ONCE, Sketches, sketch

if TYPE_CHECKING:
    from stages.lib.corpus.neighbours import Neighbours


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
    starts = range(0, len(texts), ROWS_AT_ONCE)
    made = [sketch(texts[start : start + ROWS_AT_ONCE], threshold, shingle, permutations) for start in starts]
    index = compare(made, threshold)
    return [None if earlier < 0 else earlier for one in made for earlier in index.add(one).tolist()]


def compare(made: Iterable[Sketches], threshold: float) -> "Neighbours":
    """An index, still empty, for the rows of these sketches."""
    from stages.lib.corpus import neighbours

    frequency = np.zeros(neighbours.COUNTERS, np.uint32)
    rows = shingles = bands = 0
    for one in made:
        neighbours.count(one.shingles, frequency)
        rows, shingles, bands = rows + len(one.bands), shingles + len(one.shingles), one.bands.shape[1]
    return neighbours.Neighbours(rows, shingles, bands, frequency, threshold)
