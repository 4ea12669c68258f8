"""How reliable figures from few rows are: intervals, agreement, and whether two runs differ by more than chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from statistics import mean, stdev

Z = 1.959963984540054  # the 97.5% quantile of the normal distribution
RESAMPLES, SEED = 10_000, 0

Shares = Mapping[str, float]  # of each problem's samples, the share that passed


def wilson(share: float, trials: int) -> tuple[float, float]:
    """The 95% Wilson score interval of a `share` of `trials`, at least one.

    https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval
    """
    middle = share + Z * Z / (2 * trials)
    reach = Z * sqrt(share * (1 - share) / trials + Z * Z / (4 * trials * trials))
    scale = 1 + Z * Z / trials
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def interval(hits: int, trials: int) -> list[float] | None:
    """`wilson` of `hits` in `trials`, to four digits; None without trials."""
    return [round(end, 4) for end in wilson(hits / trials, trials)] if trials else None


def difference(hits: int, trials: int, others: int, other_trials: int) -> list[float] | None:
    """The 95% interval of the first share minus the second, to four digits; None if either has no trials.

    Newcombe's hybrid score interval for two independent shares, from the Wilson interval of each: method 10 of
    Newcombe 1998, "Interval estimation for the difference between independent proportions",
    https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8%3C873::AID-SIM779%3E3.0.CO;2-I
    """
    if not trials or not other_trials:
        return None
    one, other = hits / trials, others / other_trials
    (low, high), (other_low, other_high) = wilson(one, trials), wilson(other, other_trials)
    below, above = hypot(one - low, other_high - other), hypot(high - one, other - other_low)
    return [round(one - other - below, 4), round(one - other + above, 4)]


def bootstrap(values: Sequence[float], resamples: int = RESAMPLES, seed: int = SEED) -> tuple[float, float]:
    """The percentile bootstrap's 95% interval of the mean of `values`, one for each problem.

    Problems are drawn, not samples: samples of one problem are not independent. Efron and Tibshirani 1993, chapter 13.
    It is a point where all values are equal; `wilson` is not.
    """
    import numpy as np

    draws = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(np.asarray(values, dtype=np.float64)[draws].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def student(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95% interval of the mean of `values`, at least two: what few repetitions say of the next one.

    https://en.wikipedia.org/wiki/Student%27s_t-distribution#Confidence_intervals
    """
    from scipy.stats import t

    middle, reach = mean(values), float(t.ppf(0.975, len(values) - 1)) * stdev(values) / sqrt(len(values))
    return middle - reach, middle + reach


def kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """Cohen's kappa (Cohen 1960); None if undefined: no pairs, or the same verdict in all of them."""
    from sklearn.metrics import cohen_kappa_score

    if len({word for pair in pairs for word in pair}) < 2:
        return None
    one, other = zip(*pairs, strict=True)
    return float(cohen_kappa_score(one, other))


@dataclass(frozen=True)
class Difference:
    """The mean over problems of `other` minus `one`, its paired bootstrap interval, and the probability that chance
    moves as many problems as one-sidedly; `p_holm` is p corrected for the tests made with it, `seeds` the mean with
    each seed, where both were repeated."""

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
    seeds: tuple[float, ...] = ()

    @property
    def over_seeds(self) -> tuple[float, float] | None:
        """The 95% interval of the mean over seeds; None for a run that was not repeated."""
        return student(self.seeds) if len(self.seeds) > 1 else None

    @property
    def is_shown(self) -> bool:
        """Whether neither the choice of problems nor that of seeds explains the difference: the corrected p is below
        5%, and the interval over several seeds leaves out 0."""
        seeds = self.over_seeds
        return self.p_holm < 0.05 and (seeds is None or seeds[0] > 0 or seeds[1] < 0)

    @property
    def detectable(self) -> float:
        """The true difference that a two-sided test at 5% finds with a probability of 80%: on these problems 2.8
        standard errors, taken from the interval's width, and where seeds were repeated no less than over so few seeds
        (Bloom 1995, https://doi.org/10.1177/0193841X9501900504, with Student's quantiles)."""
        over_problems = 2.8 * (self.high - self.low) / (2 * 1.96)
        if len(self.seeds) < 2:
            return over_problems
        from scipy.stats import t

        errors = float(t.ppf(0.975, len(self.seeds) - 1) + t.ppf(0.8, len(self.seeds) - 1))
        return max(over_problems, errors * stdev(self.seeds) / sqrt(len(self.seeds)))


def compare(one: str, other: str, left: Shares, right: Shares, seeds: tuple[float, ...] = ()) -> Difference:
    """`right` against `left`, which hold the same problems; `seeds` are the differences of their means with each seed.

    The interval: problems are drawn with both runs' results together (Efron and Tibshirani 1993, section 8.3; for
    language models Koehn 2004, https://aclanthology.org/W04-3250/). The test is exact: of the problems that moved,
    the ones that were gained are as a fair coin's heads. With one sample a problem that is McNemar's exact test
    (https://en.wikipedia.org/wiki/McNemar%27s_test), with more it is the sign test.
    """
    import numpy as np

    moves = np.array([right[task] - left[task] for task in left])
    gained, lost = int((moves > 0).sum()), int((moves < 0).sum())
    low, high = bootstrap(moves.tolist())
    p = sign_test(gained, lost)
    return Difference(one, other, len(moves), gained, lost, float(moves.mean()), low, high, p, seeds=seeds)


def sign_test(gained: int, lost: int) -> float:
    """The two-sided p value of the sign test: how likely so one-sided a split is if moves are coin tosses.

    https://en.wikipedia.org/wiki/Sign_test
    """
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for multiple tests, in their order (Holm 1979, https://www.jstor.org/stable/4615733)."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    found = [1.0] * len(values)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        found[place] = largest
    return found
