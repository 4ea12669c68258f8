"""Where each request's record lies in the journal: 16 bytes per record, so a million take 16 MB.

The index keeps only a key's first 8 bytes. If two requests share them (one chance in 10^7 among a million), one record
is hidden and asked again; `Journal.get` compares whole keys, so it is never mistaken for the other.
"""

import numpy as np

PARTS = 16  # by a key's first digit: a merge copies one of them
RECENT = 1 << 10  # records a part collects in its dictionary before merging them into the sorted arrays


class Index:
    """A map from keys (hex) to offsets; a later offset replaces an earlier one.

    One thread may set while another gets: records are in the arrays before they leave the dictionary.
    """

    def __init__(self) -> None:
        self._parts = [_Part() for _ in range(PARTS)]

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __setitem__(self, key: str, offset: int) -> None:
        self._parts[int(key[0], PARTS)].add(key, offset)

    def get(self, key: str) -> int | None:
        """The offset of the latest record of `key`."""
        return self._parts[int(key[0], PARTS)].get(key)


class _Part:
    def __init__(self) -> None:
        self._recent: dict[int, int] = {}
        self._merged = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint64)  # sorted keys; their offsets

    def __len__(self) -> int:
        self._merge()
        return len(self._merged[0])

    def add(self, key: str, offset: int) -> None:
        self._recent[int(key[:16], 16)] = offset
        if len(self._recent) >= max(RECENT, len(self._merged[0]) // 32):
            self._merge()

    def get(self, key: str) -> int | None:
        short = int(key[:16], 16)
        if (recent := self._recent.get(short)) is not None:
            return recent
        keys, offsets = self._merged
        place = int(keys.searchsorted(np.uint64(short)))
        if place < len(keys) and int(keys[place]) == short:
            return int(offsets[place])
        return None

    def _merge(self) -> None:
        if not self._recent:
            return
        fresh = np.fromiter(self._recent.keys(), dtype=np.uint64, count=len(self._recent))
        order = np.argsort(fresh)
        fresh = fresh[order]
        places = np.fromiter(self._recent.values(), dtype=np.uint64, count=len(self._recent))[order]
        keys, offsets = self._merged
        at = keys.searchsorted(fresh)
        known = np.zeros(len(fresh), dtype=bool)
        inside = at < len(keys)
        known[inside] = keys[at[inside]] == fresh[inside]
        offsets[at[known]] = places[known]
        new = ~known
        self._merged = np.insert(keys, at[new], fresh[new]), np.insert(offsets, at[new], places[new])
        self._recent = {}
