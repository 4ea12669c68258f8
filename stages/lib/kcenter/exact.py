"""Decides ties that float64 cannot, by squared distances of float16 and float32 rows in integers."""

import numpy as np

SMALLEST = 149  # every finite float32 is a whole multiple of 2^-149


class Ties:
    """Compares rows by their exact distance to the nearest centre.

    If all values are multiples of one power of two and the squared distance is below 2^52 of its squares, float64 sums
    are already exact (as for length-1 rows in float16, multiples of 2^-24). Otherwise, centres that float64 cannot tell
    apart are measured in Python integers.
    """

    def __init__(self) -> None:
        self.exponent = 2**10  # all centres seen so far are multiples of 2^exponent
        self.looked = 0

    def lowest_farthest(
        self, vectors: np.ndarray, values: np.ndarray, rows: np.ndarray, centres: np.ndarray, error: float
    ) -> int:
        """Which of `vectors` (m, d) float32 is exactly farthest from `centres` (t, d); the lowest of `rows` wins ties.

        `values` (m,): the float64 squared distances, each within the relative `error`.
        """
        if (vectors == vectors[0]).all():  # copies of one row
            return int(np.argmin(rows))
        self.exponent = min(self.exponent, lowest_exponent(centres[self.looked :]))
        self.looked = len(centres)
        exponent = min(self.exponent, lowest_exponent(vectors))
        if np.log2(max(float(values.max()), 1e-300)) < 52 + 2 * exponent:
            tied = np.flatnonzero(values == values.max())
            return int(tied[np.argmin(rows[tied])])
        exact = [_exact_least(vector, value, centres, error) for vector, value in zip(vectors, values, strict=True)]
        tied = np.flatnonzero([value == max(exact) for value in exact])
        return int(tied[np.argmin(rows[tied])])


def lowest_exponent(values: np.ndarray) -> int:
    """The largest e such that every one of the float32 `values` is a multiple of 2^e (1024 for zeros)."""
    fraction, exponent = np.frexp(values[values != 0].astype(np.float64))
    if len(fraction) == 0:
        return 2**10
    whole = np.ldexp(fraction, 24).astype(np.int64)
    lowest = np.log2((whole & -whole).astype(np.float64)).astype(np.int64)
    return int((exponent - 24 + lowest).min())


def _exact_least(vector: np.ndarray, value: float, centres: np.ndarray, error: float) -> int:
    close = np.sum((centres.astype(np.float64) - vector) ** 2, axis=1)
    return min(_square_distance(vector, centre) for centre in centres[close <= value * (1 + 4 * error)])


def _square_distance(x: np.ndarray, y: np.ndarray) -> int:
    pairs = zip(_whole(x), _whole(y), strict=True)
    return sum((a - b) ** 2 for a, b in pairs)


def _whole(x: np.ndarray) -> list[int]:
    return [int(value) for value in np.ldexp(x.astype(np.float64), SMALLEST)]
