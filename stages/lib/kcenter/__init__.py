"""Exact greedy k-center selection (Gonzalez 1985): the rows that spread over a set of vectors."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from stages.lib.errors import BadInput


@dataclass(frozen=True)
class Selection:
    """Indices (k,) int64 in order of selection, the covering radius (k,) float64 after each."""

    indices: np.ndarray
    radii: np.ndarray
    exhausted: bool  # every row is equal to a centre: `indices` holds one row of each distinct value


def k_center_greedy(
    embeddings: np.ndarray,
    k: int,
    *,
    first: Literal["mean", "random"] | None = None,
    radius: float = 0.0,
    seed: int = 0,
    normalize: bool = False,
) -> Selection:
    """Choose `k` rows, each the farthest from those before it; ties go to the lowest row."""
    rows = np.asarray(embeddings, dtype=np.float64)
    if not 1 <= k <= len(rows):
        raise BadInput(f"k = {k}: choose 1 to {len(rows)}, the number of rows")
    if bad := np.flatnonzero(~np.isfinite(rows).all(axis=1))[:10].tolist():
        raise BadInput(f"rows {bad} hold NaN or infinite values; embed them again")
    if normalize:
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    if first == "random":
        start = int(np.random.default_rng(seed).integers(len(rows)))
    else:
        start = int(np.argmin(np.linalg.norm(rows - rows.mean(axis=0), axis=1)))
    indices, radii = [start], []
    nearest = np.linalg.norm(rows - rows[start], axis=1)
    while True:
        radii.append(float(nearest.max()))
        if len(indices) == k or radii[-1] <= radius:
            break
        indices.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, np.linalg.norm(rows - rows[indices[-1]], axis=1))
    return Selection(np.array(indices, dtype=np.int64), np.array(radii), exhausted=radii[-1] == 0)
