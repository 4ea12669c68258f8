"""How far rows lie apart, as an encoder sees them."""

import numpy as np


def nearest_neighbour(vectors: np.ndarray) -> float | None:
    """The mean Euclidean distance of a row to the nearest other row, of (n, d); None for fewer than two rows.

    Of vectors of length 1 it runs from 0 (each row has a copy) to 2. More rows lie closer: compare equal numbers.
    """
    from sklearn.neighbors import NearestNeighbors

    if len(vectors) < 2:
        return None
    wide = vectors.astype(np.float64)
    found, _ = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(wide).kneighbors()  # others than itself
    return round(float(found.mean()), 6)


def vendi(vectors: np.ndarray) -> float:
    """The Vendi score of (n, d) rows under the cosine similarity: the effective number of different rows, 1 to n.

    exp of the Shannon entropy of the eigenvalues of K / n, where K holds the similarities (Friedman and Dieng 2023,
    https://arxiv.org/abs/2210.02410, definition 3.1). K = X X' has the eigenvalues of X' X, which is d by d (its
    section 3.3): so it takes n d^2 operations, whatever n.
    """
    wide = vectors.astype(np.float64)
    unit = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    small = unit.T @ unit if len(unit) > unit.shape[1] else unit @ unit.T
    shares = np.linalg.eigvalsh(small / len(unit))
    shares = shares[shares > 0]
    return round(float(np.exp(-np.sum(shares * np.log(shares)))), 6)


def covering_radius(pool: np.ndarray, rows: np.ndarray) -> float:
    """The largest distance of a row of `pool` (N, d) to the nearest of its `rows` (row numbers).

    That of k-center (Gonzalez 1985): how much of the source was left without a row near it.
    """
    from stages.lib.kcenter import covering_radii

    return round(float(covering_radii(pool, rows, [len(rows)], device="cpu")[0]), 6)
