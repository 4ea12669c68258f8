"""The index of near duplicates: rows come in order and are compared with the rows kept before.

A row has a key for each band of its MinHash. Rows that share a key are compared, exactly: a merge of their shingles
that stops as soon as the similarity cannot reach the threshold any more. A key holds at most MOST rows, or a family of
m rows that are alike, but not alike enough to be dropped, would cost m^2 comparisons. A row that finds one of its keys
full goes under its prefix too: its |x| - ceil(t|x|) + 1 rarest shingles. Two rows of similarity t or more share one of
these (Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", 2007), in
whatever order of the shingles; in the order of their frequency few other rows do. So no pair that LSH proposes is lost.
"""

import math

import numba as nb
import numpy as np

from stages.lib.corpus.sketches import KEPT, SKIPPED, Sketches

MOST = 32  # rows under one key
COUNTERS = 1 << 22  # of shingles by their hash's last bits; a shared counter misplaces a shingle and harms nothing
_NONE = -1


def count(shingles: np.ndarray, counted: np.ndarray) -> None:
    """Count each of the `shingles` in `counted`, uint32 (COUNTERS,)."""
    np.add.at(counted, (shingles & np.uint64(COUNTERS - 1)).astype(np.int64), 1)


class Neighbours:
    """The rows kept so far. Memory is set aside for `rows` rows with `shingles` shingles together, and used as rows are
    kept: about 0.9 kB for a row of 54 shingles."""

    def __init__(self, rows: int, shingles: int, bands: int, frequency: np.ndarray, threshold: float) -> None:
        most = rows * bands + shingles  # entries: a row under all its keys and, at worst, under all its shingles
        number = np.int32 if most < 2**31 else np.int64
        self._threshold, self._frequency = threshold, frequency
        self._heads = np.full(1 << max(4, (rows * bands).bit_length()), _NONE, number)
        self._next, self._row, self._tag = np.empty(most, number), np.empty(most, number), np.empty(most, np.uint32)
        self._shingles, self._starts = np.empty(shingles, np.uint64), np.zeros(rows + 1, np.int64)
        self._number = np.empty(rows, np.int64)  # of each kept row among all rows
        self._seen = np.full(rows, _NONE, np.int64)  # by which row each kept row was last met
        self._used = np.zeros(3, np.int64)  # rows met, rows kept, entries

    def add(self, made: Sketches, skip: np.ndarray | None = None) -> np.ndarray:
        """For each row the number, among all that were added, of the first kept row that it nearly repeats, or KEPT:
        then it is kept. Where `skip` is true, the row only takes a number, and SKIPPED comes back. int64 (rows,)."""
        found = np.full(len(made.bands), KEPT, np.int64)
        if skip is not None:
            found[skip] = SKIPPED
        self._run(made, found, True)
        return found

    def restore(self, made: Sketches, found: np.ndarray) -> None:
        """Add rows for which `add` has returned `found` before."""
        self._run(made, found, False)

    def _run(self, made: Sketches, found: np.ndarray, decide: bool) -> None:
        table = (self._heads, self._next, self._row, self._tag)
        kept = (self._shingles, self._starts, self._number, self._seen)
        rows = (made.shingles, made.starts.astype(np.int64), made.bands)
        _add(rows, found, decide, table, kept, self._used, self._frequency, self._threshold)


@nb.njit(cache=True)
def _add(rows, found, decide, table, kept, used, frequency, threshold):  # type: ignore[no-untyped-def]
    shingles, starts, bands = rows
    met = np.empty(bands.shape[1], np.int64)
    for i in range(len(bands)):
        own = shingles[starts[i] : starts[i + 1]]
        prefix = own[:0]
        best = _NONE if decide else 0  # no row is earlier than the first: then nothing is compared
        if found[i] == KEPT:
            for band in range(len(met)):
                best, met[band] = _walk(bands[i, band], own, best, table, kept, used[0], threshold)
            if met.max() >= MOST:
                prefix = _rarest(own, frequency, threshold)
        if decide and found[i] == KEPT:
            for key in prefix:
                best, _ = _walk(key, own, best, table, kept, used[0], threshold)
            found[i] = KEPT if best == _NONE else kept[2][best]
        if found[i] == KEPT:
            _keep(own, bands[i], met, prefix, table, kept, used)
        used[0] += 1


@nb.njit(cache=True)
def _walk(key, own, best, table, kept, asking, threshold):  # type: ignore[no-untyped-def]
    """The first kept row under `key` that is near, or `best` if that is earlier; and how many rows are there."""
    heads, following, row, tag = table
    shingles, starts, _, seen = kept
    met = 0
    entry = heads[key & np.uint64(len(heads) - 1)]
    while entry != _NONE:
        if tag[entry] == np.uint32(key >> np.uint64(18)):
            met += 1
            other = row[entry]
            if seen[other] != asking and (best == _NONE or other < best):
                seen[other] = asking
                if _is_near(own, shingles[starts[other] : starts[other + 1]], threshold):
                    best = other
        entry = following[entry]
    return best, met


@nb.njit(cache=True)
def _is_near(left, right, threshold):  # type: ignore[no-untyped-def]
    """Whether the Jaccard similarity of two rows' shingles, each in rising order, is `threshold` or more."""
    both = len(left) + len(right)
    least = math.ceil(threshold * both / (1.0 + threshold) - 1e-6)  # shared shingles that this takes
    spare_left, spare_right = len(left) - least, len(right) - least
    i = j = shared = 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            shared += 1
            i += 1
            j += 1
        elif left[i] < right[j]:
            i += 1
            spare_left -= 1
        else:
            j += 1
            spare_right -= 1
        if spare_left < 0 or spare_right < 0:
            return False
    return shared / (both - shared) >= threshold


@nb.njit(cache=True)
def _rarest(own, frequency, threshold):  # type: ignore[no-untyped-def]
    """The prefix: the shingles of which a near row must share one. Equally frequent ones go by their hashes."""
    size = len(own) - math.ceil(threshold * len(own) - 1e-6) + 1
    found, often = np.empty(size, np.uint64), np.empty(size, np.uint32)
    filled = 0
    for shingle in own:
        here = frequency[shingle & np.uint64(len(frequency) - 1)]
        if filled == size and here >= often[size - 1]:
            continue
        place = min(filled, size - 1)
        while place > 0 and here < often[place - 1]:
            found[place], often[place] = found[place - 1], often[place - 1]
            place -= 1
        found[place], often[place] = shingle, here
        filled = min(filled + 1, size)
    return found


@nb.njit(cache=True)
def _keep(own, bands, met, prefix, table, kept, used):  # type: ignore[no-untyped-def]
    shingles, starts, number, _ = kept
    here = used[1]
    start = starts[here]
    shingles[start : start + len(own)] = own
    starts[here + 1] = start + len(own)
    number[here] = used[0]
    for band in range(len(bands)):
        if met[band] < MOST:
            _insert(bands[band], here, table, used)
    for key in prefix:
        _insert(key, here, table, used)
    used[1] += 1


@nb.njit(cache=True)
def _insert(key, here, table, used):  # type: ignore[no-untyped-def]
    heads, following, row, tag = table
    slot = key & np.uint64(len(heads) - 1)
    new = used[2]
    row[new], tag[new], following[new] = here, np.uint32(key >> np.uint64(18)), heads[slot]
    heads[slot] = new
    used[2] += 1
