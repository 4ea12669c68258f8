"""How far a score measured on few problems can be trusted: two 95% intervals."""

from collections.abc import Sequence
from math import sqrt

Z = 1.959963984540054  # the 97.5% quantile of the normal distribution


def bootstrap(values: Sequence[float], resamples: int, seed: int) -> tuple[float, float]:
    """The percentile bootstrap's 95% interval of the mean of `values`, one for each problem.

    Problems are drawn, not samples: samples of one problem are not independent. Efron and Tibshirani 1993, chapter 13.
    It is a point where all values are equal; `wilson` is not.
    """
    import numpy as np

    draws = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(np.asarray(values, dtype=np.float64)[draws].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def wilson(share: float, problems: int) -> tuple[float, float]:
    """The Wilson score interval of a `share` solved of `problems`.

    https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval
    """
    middle = share + Z * Z / (2 * problems)
    reach = Z * sqrt(share * (1 - share) / problems + Z * Z / (4 * problems * problems))
    scale = 1 + Z * Z / problems
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)
