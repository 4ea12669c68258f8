"""When the selection saves its progress, and what it says of the time that is left."""

import logging
import math
import time

import numpy as np

from stages.lib import checkpoint

SAVE_SECONDS = 5.0
REPORT_SECONDS = 10.0
USUAL = 0.7  # the n-th pick takes about n to this power: between the data sets of docs/coreset.md
LEAST, MOST = 0.4, 0.9
AFTER_A_FALL = 0.8

log = logging.getLogger(__name__)


class Clock:
    """When to save, and a progress line with the time that is left."""

    def __init__(self, wanted: int) -> None:
        """`wanted`: how many picks there will be."""
        self.wanted = wanted
        self.began = self.saved = self.reported = time.monotonic()
        self.marks: list[tuple[int, float]] = []  # picks so far, seconds since the beginning

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
        """Note that `count` rows are picked, and log it now and then."""
        now = time.monotonic()
        self.marks.append((count, now - self.began))
        if now - self.reported >= REPORT_SECONDS and radii:
            self.reported = now
            left = self.remaining()
            log.info("%d of %d rows, covering radius %.4f, %.0f s left", count, self.wanted, radii[-1], left)

    def remaining(self) -> float:
        """Seconds to the end, infinite before there is anything to go by.

        The n-th pick is taken to cost n^g, at the middle (weighted by picks) of what the batches since half of the
        count cost: a middle, because the step from one scale of the data to the next makes a few batches very dear.
        """
        picks, seconds, at = self._batches()
        count = self.marks[-1][0]
        late, early = at >= count / 2, (at >= count / 4) & (at < count / 2)
        if not late.any():
            return math.inf
        growth = USUAL
        if early.any():
            growth = _growth(_middle(seconds[early], picks[early]), _middle(seconds[late], picks[late]))
        unit = _middle(seconds[late], picks[late] * at[late] ** growth)
        return float(unit * (self.wanted ** (1 + growth) - count ** (1 + growth)) / (1 + growth))

    def _batches(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each batch that picked any: how many, the seconds it took, and the count at its middle."""
        counts, times = np.array([(0, 0.0), *self.marks]).T
        picks, seconds, at = np.diff(counts), np.diff(times), (counts[:-1] + counts[1:]) / 2
        some = picks > 0
        some[0] = False  # its picks cannot be told from the start
        return picks[some], seconds[some], at[some]


def _growth(earlier: float, later: float) -> float:
    """The power of n with which a pick's cost grows, from its cost in [n/4, n/2) and in [n/2, n)."""
    if later <= earlier:
        return AFTER_A_FALL  # another scale of the data began: what lies before it says nothing of what comes
    measured = math.log2(later / earlier)
    return min(max((measured + USUAL) / 2, LEAST), MOST)


def _middle(seconds: np.ndarray, picks: np.ndarray) -> float:
    """The median of `seconds` a pick, weighted by `picks`."""
    order = np.argsort(seconds / picks)
    weights = np.cumsum(picks[order])
    chosen = order[np.searchsorted(weights, weights[-1] / 2)]
    return float(seconds[chosen] / picks[chosen])
