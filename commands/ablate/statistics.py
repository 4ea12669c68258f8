"""Two runs on the same problems: is the difference more than chance?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RESAMPLES = 10_000
SEED = 0

Shares = Mapping[str, float]  # of each problem's samples, the share that passed


@dataclass(frozen=True)
class Difference:
    """The mean over problems of `other` minus `one`, its paired bootstrap interval, and how likely chance moves as
    many problems so one-sidedly; `p_holm` is p corrected for the tests made with it."""

    one: str
    other: str
    problems: int
    gained: int
    lost: int
    mean: float
    low: float
    high: float
    p: float
    p_holm: float = 1.0


def compare(one: str, other: str, left: Shares, right: Shares) -> Difference:
    """`right` against `left`, which hold the same problems.

    The interval: problems are drawn with both runs' results together (Efron and Tibshirani 1993, section 8.3; for
    language models Koehn 2004, https://aclanthology.org/W04-3250/). The test is exact: of the problems that moved,
    the ones that were gained are as a fair coin's heads. With one sample a problem that is McNemar's exact test
    (https://en.wikipedia.org/wiki/McNemar%27s_test), with more it is the sign test.
    """
    import numpy as np
    from scipy.stats import binomtest

    moves = np.array([right[task] - left[task] for task in left])
    gained, lost = int((moves > 0).sum()), int((moves < 0).sum())
    draws = np.random.default_rng(SEED).integers(len(moves), size=(RESAMPLES, len(moves)))
    low, high = np.quantile(moves[draws].mean(axis=1), (0.025, 0.975))
    p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return Difference(one, other, len(moves), gained, lost, float(moves.mean()), float(low), float(high), p)


def holm(values: Sequence[float]) -> list[float]:
    """p values made larger for their number, in their order (Holm 1979, https://www.jstor.org/stable/4615733)."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    found = [1.0] * len(values)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        found[place] = largest
    return found
