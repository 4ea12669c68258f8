"""How long a stage's work will still take, from what it has finished and how old is what it is at.

Requests to a model take between one and many times their median, and several run at once. So the mean is taken over all
that were begun: those finished count with their seconds, and one in flight with the mean of the finished ones that took
longer than its age (redistribution to the right, Efron 1967). Counting only what is finished would promise too little,
because short answers come first.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

LEAST = 3  # finished items before the first estimate
LONGER = 1.5  # one older than all finished ones is taken to need this many times its age
SLOWNESS_S = 5.0  # in this time the estimate goes two thirds of the way to a new one
RISE_S = 20.0  # it never rises for longer
SETTLED = 0.2  # of the work: before that it may rise
WRONG, WRONG_S = 1.5, 30.0  # it begins anew where new estimates were so many times as much for so long


def seconds_left(took: Sequence[float], ages: Sequence[float], waiting: float, at_once: int) -> float | None:
    """Seconds until everything is done, None if too little is.

    `took`: seconds of each finished item; `ages`: of each in flight; `waiting`: how many are not begun; `at_once`: how
    many are in flight together.
    """
    if len(took) < LEAST:
        return None
    ordered = sorted(took)
    sums = [0.0, *accumulate(ordered)]
    expected = [_expected(age, ordered, sums) for age in ages]
    mean = (sums[-1] + sum(expected)) / (len(ordered) + len(expected))
    rest = [whole - age for whole, age in zip(expected, ages, strict=True)]
    if waiting <= 0:
        return max(rest, default=0.0)
    spread = math.sqrt(sum((one - mean) ** 2 for one in ordered) / len(ordered))
    # At the end, places stand empty while the last items finish.
    last = (mean * (at_once - 1) / at_once) / 2 + spread * math.log(at_once) / 2
    return (sum(rest) + waiting * mean) / at_once + last


def _expected(age: float, ordered: list[float], sums: list[float]) -> float:
    """The seconds that an item of this age will have taken in the end."""
    first = bisect_right(ordered, age)
    longer = len(ordered) - first
    return (sums[-1] - sums[first]) / longer if longer else age * LONGER


@dataclass
class Countdown:
    """The estimate as it is shown: it counts down like a clock and is drawn towards each new estimate.

    Once `SETTLED` of the work is done it is not above what it was `RISE_S` ago: it would rather stand still, until it
    is plainly wrong, as when the machine has got slower.
    """

    shown: float | None = None
    _at: float = 0.0
    _past: deque[tuple[float, float]] = field(default_factory=deque)
    _wrong_since: float | None = None

    def update(self, now: float, estimate: float | None, share: float) -> float | None:
        """The seconds to show at the time `now`, when `share` of the work is done."""
        if estimate is None:
            return self.shown
        passed = now - self._at
        if self.shown is None:
            self.shown = estimate
        else:
            clock = max(0.0, self.shown - passed)
            self.shown = clock + (estimate - clock) * (1 - math.exp(-passed / SLOWNESS_S))
        self._at = now
        if share >= SETTLED:
            self.shown = self._stand(now, self.shown, estimate)
        return self.shown

    def _stand(self, now: float, shown: float, estimate: float) -> float:
        """`shown`, or less if that would be a rise for too long."""
        if estimate <= WRONG * shown:
            self._wrong_since = None
        elif self._wrong_since is None:
            self._wrong_since = now
        elif now - self._wrong_since >= WRONG_S:
            self._past.clear()
            self._wrong_since = None
        while self._past and now - self._past[0][0] > RISE_S:
            shown = min(shown, self._past.popleft()[1])
        self._past.append((now, shown))
        return shown
