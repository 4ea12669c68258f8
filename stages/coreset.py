"""coreset: selects rows that spread over the corpus, by exact k-center greedy (or at random, or by clusters).

Reads   data/corpus/corpus.parquet, data/embeddings/embeddings.npy (row i of both is the same function)
Writes  data/coreset/coreset.parquet     order, row, id, distance (to the nearest earlier pick), radius (covering
                                         radius so far), language; in order of selection
        data/coreset/projection.parquet  row, x, y (first two principal components), order (-1: not chosen), language
        data/coreset/coverage.parquet    language, rows of the corpus, rows of the coreset
        metrics/coreset.json             k, N, d, distinct rows, radii, lower bound on the optimum, languages covered
        plots/coreset.csv                covering radius after each pick, and of a random subset of that size

The greedy order is nested: the first 1,000 rows of a coreset of 20,000 are the coreset of 1,000. The other two methods
are for comparison; they give no bound, so their "optimum_at_least" is null.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.lib import artifacts, checkpoint, params, progress, records
from stages.lib.errors import BadInput
from stages.lib.kcenter import Selection, alternatives, covering_radii, k_center_greedy

PROJECTED_ROWS = 20_000  # at most this many unchosen rows are drawn

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
PROJECTION = pa.schema(
    [
        ("row", pa.int64()),
        ("x", pa.float32()),
        ("y", pa.float32()),
        ("order", pa.int32()),
        ("language", pa.string()),
    ]
)
COVERAGE = pa.schema([("language", pa.string()), ("corpus", pa.int64()), ("coreset", pa.int64())])

log = logging.getLogger("tidemill.coreset")


class Params(params.Section):
    """The section `coreset` of params.yaml."""

    method: Literal["k-center", "random", "clusters"]
    k: int = Field(ge=1)
    radius: float = Field(ge=0)
    first: Literal["mean", "random"]
    normalize: bool
    seed: int = Field(ge=0)
    device: Literal["auto", "cpu", "gpu"] = Field(exclude=True)
    threads: int = Field(ge=1, exclude=True)


def main() -> None:
    knobs = params.load("coreset", Params)
    inputs = [artifacts.open("data/corpus"), artifacts.open("data/embeddings")]
    corpus = records.read(inputs[0].parts("corpus.parquet"), records.FUNCTION, ["id", "language"])
    embeddings = np.load(inputs[1].file("embeddings.npy"), mmap_mode="r")
    if len(embeddings) != len(corpus):
        raise BadInput(
            f"data/embeddings has {len(embeddings)} rows but data/corpus has {len(corpus)}; run `dvc repro embed`"
        )
    saves = checkpoint.folder("coreset", inputs, knobs.result)
    how: dict[str, Any] = {"normalize": knobs.normalize, "device": knobs.device, "threads": knobs.threads}
    with progress.work("picking", min(knobs.k, len(embeddings)), "functions"):
        chosen = choose(embeddings, knobs, saves, how)
    sizes = spread_sizes(len(chosen.indices))
    random_order = np.random.default_rng(knobs.seed).permutation(len(embeddings))[: sizes[-1]]
    with progress.work("measuring a random selection"):
        random_radii = covering_radii(embeddings, random_order, sizes, **how)
    languages = corpus["language"].to_pylist()
    with artifacts.create("data/coreset", stage="coreset", inputs=inputs, params=knobs.result, seed=knobs.seed) as out:
        distances = measure_distances(embeddings, chosen, knobs)
        records.write(out / "coreset.parquet", list_centres(chosen, distances, corpus), CORESET)
        records.write(out / "projection.parquet", project(embeddings, chosen, languages, knobs.seed), PROJECTION)
        coverage = count_languages(chosen, languages)
        records.write(out / "coverage.parquet", coverage, COVERAGE)
        artifacts.write_metrics("coreset", describe(chosen, embeddings, coverage, knobs.method))
        artifacts.write_series("coreset", draw_curve(chosen, sizes, random_radii, knobs.method))
    checkpoint.discard(saves)


def choose(embeddings: np.ndarray, knobs: Params, saves: Path, how: dict[str, Any]) -> Selection:
    """The chosen rows, in order, with the covering radius after each; all of them if there are fewer than k."""
    k = min(knobs.k, len(embeddings))
    if k < knobs.k:
        log.warning("coreset.k is %d, but the corpus has only %d functions; taking them all", knobs.k, k)
    if knobs.method == "k-center":
        greedy = {"first": knobs.first, "radius": knobs.radius, "seed": knobs.seed, "saves": saves}
        return k_center_greedy(embeddings, k, **greedy, **how)
    if knobs.method == "random":
        order = alternatives.choose_random(embeddings, k, knobs.seed)
    else:
        order = alternatives.choose_clusters(embeddings, k, knobs.seed, knobs.normalize)
    return alternatives.measure(embeddings, order, radius=knobs.radius, **how)


def measure_distances(embeddings: np.ndarray, chosen: Selection, knobs: Params) -> list[float | None]:
    """Each chosen row's distance to the nearest earlier pick; for greedy, that is the radius before it was picked."""
    if knobs.method == "k-center":
        return [None, *chosen.radii[:-1].tolist()]
    return alternatives.distances_to_earlier(embeddings, chosen.indices, knobs.normalize)


def list_centres(chosen: Selection, distances: list[float | None], corpus: pa.Table) -> list[dict[str, Any]]:
    picked = corpus.select(["id", "language"]).take(pa.array(chosen.indices)).to_pylist()
    return [
        {"order": order, "row": int(chosen.indices[order]), "distance": distances[order], "radius": radius, **row}
        for order, (radius, row) in enumerate(zip(chosen.radii.tolist(), picked, strict=True))
    ]


def project(embeddings: np.ndarray, chosen: Selection, languages: list[str], seed: int) -> list[dict[str, Any]]:
    """The centres and a random part of the rest on the first two principal components.

    Signs are fixed (the largest weight is positive) and values rounded, so that every machine writes the same bytes.
    """
    order = np.full(len(embeddings), -1)
    order[chosen.indices] = np.arange(len(chosen.indices))
    rest = np.flatnonzero(order < 0)
    drawn = np.random.default_rng(seed).permutation(rest)[:PROJECTED_ROWS]
    rows = np.sort(np.concatenate([chosen.indices, drawn]))
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


def count_languages(chosen: Selection, languages: list[str]) -> list[dict[str, Any]]:
    """Rows of each language in the corpus and among the centres."""
    all_rows, centres = Counter(languages), Counter(languages[row] for row in chosen.indices)
    return [{"language": name, "corpus": all_rows[name], "coreset": centres[name]} for name in sorted(all_rows)]


def describe(chosen: Selection, embeddings: np.ndarray, coverage: list[dict[str, Any]], method: str) -> dict[str, Any]:
    last = float(chosen.radii[-1])
    return {
        "k": len(chosen.indices),
        "rows": embeddings.shape[0],
        "dimension": embeddings.shape[1],
        "distinct_rows": chosen.distinct_rows,  # null unless selection ran out of distinct rows
        "radius_first": float(chosen.radii[0]),
        "radius_last": last,
        "optimum_at_least": _bound(last, method),
        "languages": len(coverage),
        "languages_covered": sum(1 for entry in coverage if entry["coreset"]),
        "centres_by_language": {entry["language"]: entry["coreset"] for entry in coverage},
    }


def _bound(radius: float, method: str) -> float | None:
    """A lower bound on the radius of any selection of this size: greedy is a 2-approximation (Gonzalez 1985). None for
    the other methods."""
    return radius / 2 if method == "k-center" else None


def spread_sizes(k: int) -> list[int]:
    """Subset sizes from 1 to `k`, about 24 per decade, evenly spaced on a log axis."""
    return sorted({round(size) for size in np.geomspace(1, k, 2 + int(24 * np.log10(k)))})


def draw_curve(chosen: Selection, sizes: list[int], random_radii: np.ndarray, method: str) -> list[dict[str, Any]]:
    """Covering radius after each size, of a random subset of that size, and the bound for any selection."""
    return [
        {
            "centres": size,
            "radius": float(chosen.radii[size - 1]),
            "random_radius": float(random_radius),
            "optimum_at_least": _bound(float(chosen.radii[size - 1]), method),
        }
        for size, random_radius in zip(sizes, random_radii, strict=True)
    ]
