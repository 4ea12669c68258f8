"""The corpus and its coreset on a plane, for a picture."""

from typing import Any

import numpy as np
import pyarrow as pa

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("x", pa.float32()),
        ("y", pa.float32()),
        ("order", pa.int32()),
        ("language", pa.string()),
    ]
)
DRAWN = 20_000  # at most this many rows that were not chosen


def project(embeddings: np.ndarray, chosen: np.ndarray, languages: list[str], seed: int) -> list[dict[str, Any]]:
    """The rows `chosen`, in order, and a random part of the rest, on the first two principal components.

    Signs are fixed (the largest weight is positive) and values rounded, so that every machine writes the same bytes.
    """
    order = np.full(len(embeddings), -1)
    order[chosen] = np.arange(len(chosen))
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(order < 0))[:DRAWN]
    rows = np.sort(np.concatenate([chosen, drawn]))
    vectors = embeddings[rows].astype(np.float64)
    vectors -= vectors.mean(axis=0)
    _, axes = np.linalg.eigh(vectors.T @ vectors)
    axes = axes[:, :-3:-1]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    points = np.round(vectors @ axes, 4) + 0.0
    return [
        {"row": int(row), "x": x, "y": y, "order": int(order[row]), "language": languages[row]}
        for row, (x, y) in zip(rows, points.tolist(), strict=True)
    ]
