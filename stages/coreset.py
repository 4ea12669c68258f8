"""coreset: selects rows that spread over the corpus, by exact k-center greedy (or at random, or by clusters).

Reads   data/corpus/corpus.parquet, data/embeddings/embeddings.npy (row i of both is the same function)
Writes  data/coreset/coreset.parquet     order, row, id, distance (to the nearest earlier pick), radius (covering
                                         radius so far), language; in order of selection
        data/coreset/projection.parquet  row, x, y (first two principal components), order (-1: not chosen), language
        data/coreset/coverage.parquet    language, rows of the corpus, rows of the coreset
        metrics/coreset.json             k, N, d, distinct rows, radii, lower bound on the optimum, languages covered
        plots/coreset.csv                covering radius after each pick, and of a random subset of that size

The greedy order is nested: the first 1,000 rows of a coreset of 20,000 are the coreset of 1,000. With coreset.parts or
coreset.quotas the choice is made piece by piece, and `--shard I/N` makes its share of the pieces. The other two methods
are for comparison; like quotas they give no bound, and "optimum_at_least" is null.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from stages.lib import artifacts, checkpoint, params, progress, records, shards
from stages.lib.errors import BadInput
from stages.lib.kcenter import Selection, alternatives, covering_radii, k_center_greedy, pieces, projection
from stages.lib.kcenter.pieces import Piece

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

log = logging.getLogger("tidemill.coreset")


class Params(params.Section):
    """The section `coreset` of params.yaml."""

    method: Literal["k-center", "random", "clusters"]
    k: int = Field(ge=1)
    parts: int = Field(ge=1)
    quotas: dict[str, Annotated[float, Field(gt=0)]]
    radius: float = Field(ge=0)
    first: Literal["mean", "random"]
    normalize: bool
    seed: int = Field(ge=0)
    device: Literal["auto", "cpu", "gpu"] = Field(exclude=True)
    threads: int = Field(ge=1, exclude=True)

    @model_validator(mode="after")
    def _pieces(self) -> Self:
        if self.quotas and self.parts > 1:
            raise ValueError("quotas and parts do not go together, since a language is a part already; set parts: 1")
        if self.method != "k-center" and (self.quotas or self.parts > 1):
            raise ValueError(f"quotas and parts are for method k-center; found {self.method}")
        return self


def main() -> None:
    knobs = params.load("coreset", Params)
    inputs = [artifacts.open("data/corpus"), artifacts.open("data/embeddings")]
    corpus = records.read(inputs[0].parts("corpus.parquet"), records.FUNCTION, ["id", "language"])
    embeddings = np.load(inputs[1].file("embeddings.npy"), mmap_mode="r")
    if len(embeddings) != len(corpus):
        raise BadInput(
            f"data/embeddings has {len(embeddings)} rows but data/corpus has {len(corpus)}; run `dvc repro embed`"
        )
    languages = corpus["language"].to_pylist()
    saves = checkpoint.folder("coreset", inputs, knobs.result)
    how: dict[str, Any] = {"normalize": knobs.normalize, "device": knobs.device, "threads": knobs.threads}
    divided = divide(languages, knobs)
    with progress.work("picking", min(knobs.k, len(embeddings)), "functions"):
        started = {"first": knobs.first, "seed": knobs.seed, **how}
        pieces.pick(embeddings, divided, shards.mine(len(divided)), saves, **started)
        if shards.is_one():
            return
        chosen = choose(embeddings, divided, knobs, saves, how)
    sizes = spread_sizes(len(chosen.indices))
    random_order = np.random.default_rng(knobs.seed).permutation(len(embeddings))[: sizes[-1]]
    with progress.work("measuring a random selection"):
        random_radii = covering_radii(embeddings, random_order, sizes, **how)
    with artifacts.create("data/coreset", stage="coreset", inputs=inputs, params=knobs.result, seed=knobs.seed) as out:
        distances = measure_distances(embeddings, chosen, knobs)
        records.write(out / "coreset.parquet", list_centres(chosen, distances, corpus), CORESET)
        records.write(
            out / "projection.parquet",
            projection.project(embeddings, chosen.indices, languages, knobs.seed),
            projection.SCHEMA,
        )
        coverage = count_languages(chosen, languages)
        records.write(out / "coverage.parquet", coverage, COVERAGE)
        own = {"radius_within": pieces.distance_within(divided, saves)} if knobs.quotas else {}
        artifacts.write_metrics("coreset", describe(chosen, embeddings, coverage) | own)
        artifacts.write_series("coreset", draw_curve(chosen, sizes, random_radii))
    checkpoint.discard(saves)


def divide(languages: list[str], knobs: Params) -> list[Piece]:
    """What is chosen piece by piece: the languages of coreset.quotas, or coreset.parts; [] for one exact choice."""
    k = min(knobs.k, len(languages))
    if knobs.quotas:
        return pieces.by_language(languages, k, knobs.quotas)
    if knobs.parts > 1:
        return pieces.cut(len(languages), k, knobs.parts)
    if shards.is_one():
        raise BadInput("coreset --shard: one exact choice cannot be shared out; set coreset.parts or coreset.quotas")
    return []


def choose(embeddings: np.ndarray, divided: list[Piece], knobs: Params, saves: Path, how: dict[str, Any]) -> Selection:
    """The chosen rows, in order, with the covering radius after each; all of them if there are fewer than k."""
    k = min(knobs.k, len(embeddings))
    if k < knobs.k:
        log.warning("coreset.k is %d, but the corpus has only %d functions; taking them all", knobs.k, k)
    start: dict[str, Any] = {"first": knobs.first, "seed": knobs.seed, **how}
    if knobs.quotas:
        return pieces.interleave(embeddings, divided, saves, knobs.radius, **how)
    if divided:
        return pieces.compose(embeddings, divided, saves, k, knobs.radius, **start)
    if knobs.method == "k-center":
        return k_center_greedy(embeddings, k, radius=knobs.radius, saves=saves, **start)
    if knobs.method == "random":
        order = alternatives.choose_random(embeddings, k, knobs.seed)
    else:
        order = alternatives.choose_clusters(embeddings, k, knobs.seed, knobs.normalize)
    return alternatives.measure(embeddings, order, radius=knobs.radius, **how)


def measure_distances(embeddings: np.ndarray, chosen: Selection, knobs: Params) -> list[float | None]:
    """Each chosen row's distance to the nearest earlier pick; for greedy, that is the radius before it was picked."""
    if knobs.method == "k-center" and knobs.parts == 1 and not knobs.quotas:
        return [None, *chosen.radii[:-1].tolist()]
    return alternatives.distances_to_earlier(embeddings, chosen.indices, knobs.normalize)


def list_centres(chosen: Selection, distances: list[float | None], corpus: pa.Table) -> list[dict[str, Any]]:
    picked = corpus.select(["id", "language"]).take(pa.array(chosen.indices)).to_pylist()
    return [
        {"order": order, "row": int(chosen.indices[order]), "distance": distances[order], "radius": radius, **row}
        for order, (radius, row) in enumerate(zip(chosen.radii.tolist(), picked, strict=True))
    ]


def count_languages(chosen: Selection, languages: list[str]) -> list[dict[str, Any]]:
    """Rows of each language in the corpus and among the centres."""
    all_rows, centres = Counter(languages), Counter(languages[row] for row in chosen.indices)
    return [{"language": name, "corpus": all_rows[name], "coreset": centres[name]} for name in sorted(all_rows)]


def describe(chosen: Selection, embeddings: np.ndarray, coverage: list[dict[str, Any]]) -> dict[str, Any]:
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
