"""When the selection saves its progress, and its estimate of the time left."""

import math
import time

import numpy as np

from stages.lib import checkpoint, progress

SAVE_SECONDS = 5.0
REPORT_SECONDS = 1.0
BATCHES = 10  # of one scale of the data, before their cost is meaningful
USUAL = 0.6  # the n-th pick of a scale costs about n to this power, between the data sets of docs/coreset.md


class Clock:
    """Decides when to save, and tells of progress with the time left."""

    def __init__(self, wanted: int) -> None:
        """`wanted`: how many picks there will be."""
        self.wanted = wanted
        self.began = self.saved = self.reported = time.monotonic()
        self.marks: list[tuple[int, float, float]] = []  # picks so far, seconds since the beginning, covering radius

    def must_save(self, saving: bool) -> bool:
        """Whether it is time to save, for a run that is `saving` at all."""
        if not saving:
            return False
        now = time.monotonic()
        if now - self.saved >= SAVE_SECONDS or checkpoint.stop_requested():
            self.saved = now
            return True
        return False

    def report(self, count: int, radii: list[float]) -> None:
        """Note that `count` rows are picked, and tell of it now and then."""
        if not radii or (self.marks and count == self.marks[-1][0]):
            return
        now = time.monotonic()
        self.marks.append((count, now - self.began, radii[-1]))
        if now - self.reported >= REPORT_SECONDS:
            self.reported = now
            left = self.remaining()
            progress.tell(count, None if left == math.inf else left, covering_radius=f"{radii[-1]:.4f}")

    def remaining(self) -> float:
        """Seconds to the end; infinite at the start of a scale of the data, when there is nothing to go by.

        A pick's cost jumps from one scale to the next (from one centre per cluster to the rows within clusters), so
        only this scale's batches count. We assume that its n-th pick costs n^g, fitted to the median (weighted by
        picks) of the later half: the median, because a few batches are very expensive.
        """
        if len(self.marks) <= BATCHES:
            return math.inf
        counts, seconds, radii = np.array(self.marks).T
        first = _scale_begins(counts, radii)
        before = counts[first] if first else 0.0
        counts, seconds = counts[first:] - before, seconds[first:]
        picks, spent, at = np.diff(counts), np.diff(seconds), (counts[:-1] + counts[1:]) / 2
        late, early = at >= counts[-1] / 2, (at >= counts[-1] / 4) & (at < counts[-1] / 2)
        if len(picks) < BATCHES or not late.any():
            return math.inf
        growth = USUAL
        if early.any():
            growth = _growth(_middle(spent[early], picks[early]), _middle(spent[late], picks[late]))
        unit = _middle(spent[late], picks[late] * at[late] ** growth)
        return float(unit * ((self.wanted - before) ** (1 + growth) - counts[-1] ** (1 + growth)) / (1 + growth))


def _scale_begins(counts: np.ndarray, radii: np.ndarray) -> int:
    """The mark since which the radius has not fallen faster than 1/n.

    It falls like 1/n for points on a line and more slowly in more dimensions, so a faster fall ends a scale of the
    data.
    """
    falls = np.flatnonzero(radii[1:] * counts[1:] < radii[:-1] * counts[:-1])
    return int(falls[-1]) + 1 if len(falls) else 0


def _growth(earlier: float, later: float) -> float:
    """The exponent of n in a pick's cost, from its cost in [n/4, n/2) and in [n/2, n), pulled towards USUAL."""
    return min(max((math.log2(later / earlier) + USUAL) / 2, 0.0), 1.0)


def _middle(seconds: np.ndarray, picks: np.ndarray) -> float:
    """The median of `seconds` a pick, weighted by `picks`."""
    order = np.argsort(seconds / picks)
    weights = np.cumsum(picks[order])
    chosen = order[np.searchsorted(weights, weights[-1] / 2)]
    return float(seconds[chosen] / picks[chosen])
