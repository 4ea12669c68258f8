"""What k-center greedy is compared with: rows at random, and the rows nearest the centres of clusters.

Both give a `Selection` as the greedy choice does, with the true covering radius after each row. Neither order is
nested, nor bounds the best choice as the greedy one does.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from stages.lib.errors import BadInput
from stages.lib.kcenter.greedy import Device, Selection, covering_radii

CLUSTER_BATCH = 1024  # rows of one step of mini-batch k-means, or k, if that is more
BLOCK = 1024  # rows whose distances are taken at once


def choose_random(embeddings: np.ndarray, k: int, seed: int) -> np.ndarray:
    """`k` different rows, equally likely, in the order drawn: int64 (k,)."""
    _check(embeddings, k)
    return np.random.default_rng(seed).permutation(len(embeddings))[:k]


def choose_clusters(embeddings: np.ndarray, k: int, seed: int, normalize: bool = False) -> np.ndarray:
    """The row nearest the centre of each of `k` clusters, in an order drawn by `seed`: int64 (k,).

    Clusters come from mini-batch k-means (Sculley, "Web-scale k-means clustering", 2010), initialized by k-means++. A
    row nearest to two centres goes to the first; the other gets the nearest remaining row. A single thread sums, so a
    seed gives the same rows on one machine; another processor may round differently.
    """
    from sklearn.cluster import MiniBatchKMeans

    _check(embeddings, k)
    rows = _unit(embeddings) if normalize else np.asarray(embeddings, dtype=np.float32)
    with threadpool_limits(limits=1):
        clusters = MiniBatchKMeans(n_clusters=k, batch_size=max(CLUSTER_BATCH, k), n_init=1, random_state=seed)
        centres = clusters.fit(rows).cluster_centers_.astype(np.float32)
        chosen = _nearest(rows, centres)
    return chosen[np.random.default_rng(seed).permutation(k)]


def measure(
    embeddings: np.ndarray, order: np.ndarray, *, radius: float, normalize: bool, device: Device, threads: int
) -> Selection:
    """`order` as a Selection, cut after the first row at which every row lies within `radius` (0: not cut)."""
    sizes = range(1, len(order) + 1)
    radii = covering_radii(embeddings, order, sizes, normalize=normalize, device=device, threads=threads)
    covered = np.flatnonzero(radii <= radius)
    kept = int(covered[0]) + 1 if radius > 0 and len(covered) else len(order)
    return Selection(order[:kept].astype(np.int64), radii[:kept], None)


def distances_to_earlier(embeddings: np.ndarray, order: np.ndarray, normalize: bool) -> list[float | None]:
    """Each row's Euclidean distance to the nearest earlier row of `order`; None for the first."""
    rows = embeddings[order]
    vectors = (_unit(rows) if normalize else rows).astype(np.float64)
    squares = (vectors**2).sum(axis=1)
    found: list[float | None] = []
    for start in range(0, len(vectors), BLOCK):
        block = slice(start, min(start + BLOCK, len(vectors)))
        products = squares[block, None] + squares[None, : block.stop] - 2 * vectors[block] @ vectors[: block.stop].T
        later = np.arange(block.stop)[None, :] >= np.arange(block.start, block.stop)[:, None]
        products[later] = np.inf
        found += np.sqrt(np.maximum(products.min(axis=1), 0.0)).tolist()
    return [None, *found[1:]]


def _nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """A different row for each centre: int64 (k,)."""
    squares = (rows**2).sum(axis=1)
    taken = np.zeros(len(rows), dtype=bool)
    chosen = np.empty(len(centres), dtype=np.int64)
    for start in range(0, len(centres), BLOCK):
        block = centres[start : start + BLOCK]
        scores = squares[None, :] - 2 * block @ rows.T
        for number, score in enumerate(scores, start):
            score[taken] = np.inf
            chosen[number] = np.argmin(score)
            taken[chosen[number]] = True
    return chosen


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows divided by their length, zero rows as they are: float32, rounded to the type of `rows` on the way."""
    wide = rows.astype(np.float32)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return (wide / np.where(lengths == 0, 1.0, lengths)).astype(rows.dtype).astype(np.float32)


def _check(embeddings: np.ndarray, k: int) -> None:
    if not 1 <= k <= len(embeddings):
        raise BadInput(f"k = {k}: choose 1 to {len(embeddings)}, the number of rows")
