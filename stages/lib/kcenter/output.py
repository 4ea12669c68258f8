"""What the stage coreset writes of a choice: its tables, its metrics, and the curve of the plot."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from stages.lib.kcenter.greedy import Selection

CORESET = pa.schema(
    [
        ("order", pa.int32()),
        ("row", pa.int64()),
        ("id", pa.string()),
        ("distance", pa.float64()),  # null for the first
        ("radius", pa.float64()),
        ("language", pa.string()),
    ]
)
COVERAGE = pa.schema([("language", pa.string()), ("corpus", pa.int64()), ("coreset", pa.int64())])


def list_centres(chosen: Selection, distances: list[float | None], corpus: pa.Table) -> list[dict[str, Any]]:
    """The rows of `CORESET`; `distances` as that column, `corpus` with the columns id and language."""
    picked = corpus.select(["id", "language"]).take(pa.array(chosen.indices)).to_pylist()
    return [
        {"order": order, "row": int(chosen.indices[order]), "distance": distances[order], "radius": radius, **row}
        for order, (radius, row) in enumerate(zip(chosen.radii.tolist(), picked, strict=True))
    ]


def count_languages(chosen: Selection, languages: list[str]) -> list[dict[str, Any]]:
    """The rows of `COVERAGE`: each language in the corpus and among the centres."""
    all_rows, centres = Counter(languages), Counter(languages[row] for row in chosen.indices)
    return [{"language": name, "corpus": all_rows[name], "coreset": centres[name]} for name in sorted(all_rows)]


def describe(chosen: Selection, embeddings: np.ndarray, coverage: list[dict[str, Any]]) -> dict[str, Any]:
    """The metrics."""
    return {
        "k": len(chosen.indices),
        "rows": embeddings.shape[0],
        "dimension": embeddings.shape[1],
        "distinct_rows": chosen.distinct_rows,  # null unless selection ran out of distinct rows
        "radius_first": float(chosen.radii[0]),
        "radius_last": float(chosen.radii[-1]),
        "optimum_at_least": chosen.bound(len(chosen.indices)),
        "languages": len(coverage),
        "languages_covered": sum(1 for entry in coverage if entry["coreset"]),
        "centres_by_language": {entry["language"]: entry["coreset"] for entry in coverage},
    }


def spread_sizes(k: int) -> list[int]:
    """Subset sizes from 1 to `k`, about 24 per decade, evenly spaced on a log axis."""
    return sorted({round(size) for size in np.geomspace(1, k, 2 + int(24 * np.log10(k)))})


def draw_curve(chosen: Selection, sizes: list[int], random_radii: np.ndarray) -> list[dict[str, Any]]:
    """Covering radius after each size, of a random subset of that size, and the bound for any selection."""
    return [
        {
            "centres": size,
            "radius": float(chosen.radii[size - 1]),
            "random_radius": float(random_radius),
            "optimum_at_least": chosen.bound(size),
        }
        for size, random_radius in zip(sizes, random_radii, strict=True)
    ]
