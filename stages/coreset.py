"""coreset: selects rows that spread over the corpus, by exact k-center greedy (or at random, or by clusters).

Reads   data/corpus/corpus.parquet, data/embeddings/embeddings.npy (row i of both is the same function)
Writes  data/coreset/coreset.parquet     order, row, id, distance (to the nearest earlier pick), radius (covering
                                         radius so far), language; in order of selection
        data/coreset/projection.parquet  row, x, y (first two principal components), order (-1: not chosen), language
        data/coreset/coverage.parquet    language, rows of the corpus, rows of the coreset
        metrics/coreset.json             k, N, d, distinct rows, radii, lower bound on the optimum, languages covered
        plots/coreset.csv                covering radius after each pick, and of a random subset of that size

The greedy order is nested: the first 1,000 rows of a coreset of 20,000 are the coreset of 1,000. On several machines
each reads its part of the embeddings, and they choose together; the first one seals. With coreset.parts or
coreset.quotas the choice is made piece by piece, and `--shard I/N` makes its share of the pieces. The other two methods
are for comparison; like quotas they give no bound, and "optimum_at_least" is null.
"""

import logging
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from stages.lib import artifacts, checkpoint, params, processes, progress, records, shards
from stages.lib.errors import BadInput
from stages.lib.kcenter import (
    Selection,
    alternatives,
    covering_radii,
    k_center_greedy,
    output,
    pieces,
    projection,
    split_rows,
)
from stages.lib.kcenter.pieces import Piece

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

    @property
    def how(self) -> dict[str, Any]:
        """How distances are measured."""
        return {"normalize": self.normalize, "device": self.device, "threads": self.threads}

    @property
    def start(self) -> dict[str, Any]:
        """How a greedy choice begins and measures."""
        return {"first": self.first, "seed": self.seed, **self.how}


def main() -> None:
    knobs = params.load("coreset", Params)
    if processes.machines() == 1 and not processes.is_started():
        select(knobs, processes.here())
        return
    check_together(knobs)
    from stages.lib.kcenter import gpu

    if processes.is_started():
        with processes.together() as world:
            gpu.take(world.local)
            select(knobs, world)
    else:
        processes.launch("coreset", max(1, gpu.count() if knobs.device != "cpu" else 0))


def select(knobs: Params, world: processes.World) -> None:
    """One process of the run; the first one verifies the inputs, and writes and seals."""
    inputs = world.first(lambda: [artifacts.open("data/corpus"), artifacts.open("data/embeddings")])
    file, rows = inputs[1].file("embeddings.npy"), inputs[0].rows("corpus.parquet")
    k = min(knobs.k, rows)
    changed = int(file.stat().st_mtime) if file.is_file() else None
    if world.first(lambda: changed) != changed:
        raise BadInput(f"{file} is not the file that the first node has verified: nodes must share one workspace")
    embeddings = np.load(file, mmap_mode="r")
    if len(embeddings) != rows:
        raise BadInput(f"data/embeddings has {len(embeddings)} rows but data/corpus has {rows}; run `dvc repro embed`")
    saves = checkpoint.folder("coreset", inputs, knobs.result)
    divided = divide(inputs[0], knobs)
    part = embeddings[split_rows(rows, world.size)[world.rank]]  # all that this process reads, but for the picture
    with progress.work("picking", k, "functions"):
        pieces.pick(embeddings, divided, shards.mine(len(divided)), saves, **knobs.start)
        if shards.is_one():
            return
        if k < knobs.k:
            log.warning("coreset.k is %d, but the corpus has only %d functions; taking them all", knobs.k, k)
        chosen = choose(part, k, divided, knobs, saves, world)
    sizes = output.spread_sizes(len(chosen.indices))
    random_order = world.first(lambda: np.random.default_rng(knobs.seed).permutation(rows)[: sizes[-1]])
    with progress.work("measuring a random selection"):
        random_radii = covering_radii(part, random_order, sizes, group=world.group, **knobs.how)
    own = {"radius_within": pieces.distance_within(divided, saves)} if knobs.quotas else {}
    curve = output.draw_curve(chosen, sizes, random_radii)
    world.first(lambda: write(chosen, embeddings, inputs, knobs, curve, own))
    checkpoint.discard(saves)


def check_together(knobs: Params) -> None:
    """Raise `BadInput` for what several machines cannot choose together."""
    for key, needed in {"method": "k-center", "parts": 1, "quotas": {}}.items():
        if (found := getattr(knobs, key)) != needed:
            raise BadInput(
                f"params.yaml: coreset.{key}: {found} cannot be chosen on several nodes, which make one exact choice "
                f"together; set it to {needed}, or take `nodes` from coreset's resources"
            )
    if shards.is_one():
        raise BadInput("coreset --shard: several nodes make one exact choice together; take the shards away")


def divide(corpus: artifacts.Artifact, knobs: Params) -> list[Piece]:
    """What is chosen piece by piece: the languages of coreset.quotas, or coreset.parts; [] for one exact choice."""
    rows = corpus.rows("corpus.parquet")
    k = min(knobs.k, rows)
    if knobs.quotas:
        return pieces.by_language(read(corpus)["language"].to_pylist(), k, knobs.quotas)
    if knobs.parts > 1:
        return pieces.cut(rows, k, knobs.parts)
    if shards.is_one():
        raise BadInput("coreset --shard: one exact choice cannot be shared out; set coreset.parts or coreset.quotas")
    return []


def choose(
    part: np.ndarray, k: int, divided: list[Piece], knobs: Params, saves: Path, world: processes.World
) -> Selection:
    """The chosen rows, in order, with the covering radius after each. `part` are all rows, but on several machines."""
    if knobs.quotas:
        return pieces.interleave(part, divided, saves, knobs.radius, **knobs.how)
    if divided:
        return pieces.compose(part, divided, saves, k, knobs.radius, **knobs.start)
    if knobs.method == "k-center":
        return k_center_greedy(part, k, radius=knobs.radius, group=world.group, saves=saves, **knobs.start)
    if knobs.method == "random":
        order = alternatives.choose_random(part, k, knobs.seed)
    else:
        order = alternatives.choose_clusters(part, k, knobs.seed, knobs.normalize)
    return alternatives.measure(part, order, radius=knobs.radius, **knobs.how)


def write(
    chosen: Selection,
    embeddings: np.ndarray,
    inputs: list[artifacts.Artifact],
    knobs: Params,
    curve: list[dict[str, Any]],
    own: dict[str, Any],
) -> None:
    """Seal the artifact and write the metrics, with `own` among them, and the plot's `curve`."""
    with artifacts.create("data/coreset", stage="coreset", inputs=inputs, params=knobs.result, seed=knobs.seed) as out:
        corpus, distances = read(inputs[0]), measure_distances(embeddings, chosen, knobs)
        languages = corpus["language"].to_pylist()
        records.write(out / "coreset.parquet", output.list_centres(chosen, distances, corpus), output.CORESET)
        picture = projection.project(embeddings, chosen.indices, languages, knobs.seed)
        records.write(out / "projection.parquet", picture, projection.SCHEMA)
        coverage = output.count_languages(chosen, languages)
        records.write(out / "coverage.parquet", coverage, output.COVERAGE)
        artifacts.write_metrics("coreset", output.describe(chosen, embeddings, coverage) | own)
        artifacts.write_series("coreset", curve)


def measure_distances(embeddings: np.ndarray, chosen: Selection, knobs: Params) -> list[float | None]:
    """Each chosen row's distance to the nearest earlier pick; for greedy, that is the radius before it was picked."""
    if knobs.method == "k-center" and knobs.parts == 1 and not knobs.quotas:
        return [None, *chosen.radii[:-1].tolist()]
    return alternatives.distances_to_earlier(embeddings, chosen.indices, knobs.normalize)


def read(corpus: artifacts.Artifact) -> pa.Table:
    return records.read(corpus.parts("corpus.parquet"), records.FUNCTION, ["id", "language"])
