"""measure: what the dataset cost, how diverse it is, and how reliable its judge is.

Reads   data/dataset, data/candidates/ROUND and data/verdicts/ROUND of its rounds, data/corpus, data/embeddings
        metrics/generate-ROUND.json, metrics/judge-ROUND.json   tokens and spend
Writes  metrics/measure.json                                    every figure; docs/metrics.md defines them

Texts are encoded with measure's own encoder, so that all datasets are compared in one space, however they were made.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from stages.lib import artifacts, params, records
from stages.lib.errors import BadInput
from stages.lib.measures import cost, diversity, registry, text, verdicts
from stages.lib.models import encoder
from stages.lib.models.encoder import Pooling
from stages.lib.records import Row

PER_ROUND = "data/verdicts/"


class Params(params.Section):
    """The section `measure` of params.yaml."""

    metrics: Annotated[list[str], Field(min_length=1)]
    ngrams: int = Field(ge=1)
    most_rows: int = Field(ge=2)
    encoder: str
    pooling: Pooling
    normalize: bool
    max_tokens: int = Field(ge=8)
    batch_rows: int = Field(ge=1)
    threads: int = Field(ge=1)
    device: Literal["auto", "cpu", "cuda"] = Field(exclude=True)


class Found:
    """The measured run: its verified artifacts and their rows."""

    def __init__(self) -> None:
        self.dataset = artifacts.open("data/dataset")
        names = [entry["name"] for entry in self.dataset.inputs]
        self.rounds = [name.removeprefix(PER_ROUND) for name in names if name.startswith(PER_ROUND)]
        judged = [artifacts.open(f"{PER_ROUND}{key}") for key in self.rounds]
        made = [artifacts.open(f"data/candidates/{key}") for key in self.rounds]
        self.train, self.validation, self.dropped = (
            self._rows(self.dataset, f"{name}.parquet") if self.dataset.has(f"{name}.parquet") else []
            for name in ("train", "validation", "dropped")
        )
        self.kept = [*self.train, *self.validation]
        self.candidates = [row for one in made for row in self._rows(one, "candidates.parquet")]
        self.verdicts = [row for one in judged for row in self._rows(one, "verdicts.parquet")]
        with_panel = [one for one in judged if any(file["path"] == "ballots.parquet" for file in one.files)]
        self.ballots = [row for one in with_panel for row in self._rows(one, "ballots.parquet")]

    @staticmethod
    def _rows(artifact: artifacts.Artifact, file: str) -> list[Row]:
        import pyarrow.parquet as pq

        return list(pq.read_table(artifact.file(file)).to_pylist())


def main() -> None:
    knobs = read_params()
    found = Found()
    counts = {"candidates": len(found.candidates), "kept": len(found.kept)}
    rows = {**counts, "train": len(found.train), "validation": len(found.validation)}
    figures = {name: MEASURES[name](found, knobs) for name in registry.read()["groups"] if name in knobs.metrics}
    artifacts.write_metrics("measure", {"rows": rows, **figures})


def read_params() -> Params:
    knobs = params.load("measure", Params)
    registry.check(knobs.metrics, "groups", "measure.metrics")
    return knobs


def measure_cost(found: Found, knobs: Params) -> Row:
    """All requests by generate and judge, except the judge's audit."""
    told = [read_metrics(f"{stage}-{key}") for key in found.rounds for stage in ("generate", "judge")]
    parts = [part for one in told for part in (one, one.get("tests", {}), *one.get("panel", []))]
    return cost.spent(parts, kept=len(found.kept), passed=sum(row["passed"] for row in found.verdicts))


def measure_pass_rate(found: Found, knobs: Params) -> Row:
    return verdicts.pass_rate(found.verdicts)


def measure_duplicates(found: Found, knobs: Params) -> Row:
    """Among assemble's input rows, both kept and dropped."""
    near = [row for row in found.dropped if row["rule"] == "near_duplicate"]
    return text.duplicates([*found.kept, *found.dropped], near)


def measure_ngrams(found: Found, knobs: Params) -> Row:
    return text.distinct_ngrams([f"{row['instruction']}\n{row['output']}" for row in found.kept], knobs.ngrams)


def measure_diversity(found: Found, knobs: Params) -> Row:
    """Over the `most_rows` kept rows with the lowest ids; the covering radius uses all rows' functions."""
    rows = sorted(found.kept, key=lambda row: row["id"])[: knobs.most_rows]
    vectors = encode([f"{row['instruction']}\n{row['output']}" for row in rows], knobs)
    score = diversity.vendi(vectors)
    return {
        "rows": len(rows),
        "nearest_neighbour": diversity.nearest_neighbour(vectors),
        "vendi": score,
        "vendi_per_row": round(score / len(rows), 6),
        "covering_radius": cover({row["function_id"] for row in found.kept}),
    }


def encode(texts: Sequence[str], knobs: Params) -> np.ndarray:
    """The vectors of `texts`, in order; encoded longest first, so that batches need little padding."""
    how: Row = {"pooling": knobs.pooling, "normalize": knobs.normalize, "max_tokens": knobs.max_tokens}
    model = encoder.load(knobs.encoder, **how, device=knobs.device, threads=knobs.threads)
    order = np.argsort([-len(one) for one in texts], kind="stable")
    batches = [order[start : start + knobs.batch_rows] for start in range(0, len(order), knobs.batch_rows)]
    vectors = np.concatenate([model.encode([texts[row] for row in batch]) for batch in batches])
    return vectors[np.argsort(order, kind="stable")]


def cover(functions: set[str]) -> float | None:
    """The covering radius of these functions over the corpus; None if it holds none of them."""
    corpus, embeddings = artifacts.open("data/corpus"), artifacts.open("data/embeddings")
    ids = records.read(corpus.parts("corpus.parquet"), records.FUNCTION, ["id"])["id"].to_pylist()
    chosen = np.array([row for row, id in enumerate(ids) if id in functions], dtype=np.int64)
    pool = np.load(embeddings.file("embeddings.npy"), mmap_mode="r")
    return diversity.covering_radius(pool, chosen) if len(chosen) else None


def measure_mix(found: Found, knobs: Params) -> Row:
    columns = {name: [row[name] for row in found.kept] for name in ("task", "language")}
    shares = {f"{name}s": text.mix(values) for name, values in columns.items()}
    return {**shares, **{f"{name}_entropy": text.entropy(values) for name, values in columns.items()}}


def measure_length(found: Found, knobs: Params) -> Row:
    columns = {"instruction": "instruction", "input": "input", "solution": "output"}
    return {name: text.lengths([row[column] for row in found.kept]) for name, column in columns.items()}


def measure_contamination(found: Found, knobs: Params) -> Row:
    """Per checked benchmark, the share of rows reaching the rule that match it; all of those were dropped."""
    hits = [row for row in found.dropped if row["rule"] == "contamination"]
    total = len(found.kept) + sum(row["rule"] != "near_duplicate" for row in found.dropped)
    names = sorted(found.dataset.params["benchmarks"])
    # A reason is "BENCHMARK TASK", and a benchmark's name may contain a space.
    counts = Counter(name for row in hits for name in names if row["reason"].startswith(f"{name} "))
    by_benchmark = {name: text.share(counts[name], total) for name in names}
    return {"rows": total, "any": text.share(len(hits), total), "by_benchmark": by_benchmark}


def measure_own_tests(found: Found, knobs: Params) -> Row:
    kept = {row["id"] for row in found.kept}
    return verdicts.own_tests([row for row in found.verdicts if row["id"] in kept])


def measure_judge(found: Found, knobs: Params) -> Row:
    return {"kappa": verdicts.panel_kappa(found.ballots), "against_tests": verdicts.against_tests(found.verdicts)}


def read_metrics(name: str) -> Row:
    file = Path("metrics") / f"{name}.json"
    if not file.is_file():
        raise BadInput(f"{file} is missing; run `dvc repro --force {name.replace('-', '@')}`")
    return dict(artifacts.read_json(file))


MEASURES = {
    "cost": measure_cost,
    "pass_rate": measure_pass_rate,
    "duplicates": measure_duplicates,
    "ngrams": measure_ngrams,
    "instructions": lambda found, knobs: text.instructions(found.kept, knobs.ngrams),
    "diversity": measure_diversity,
    "mix": measure_mix,
    "length": measure_length,
    "contamination": measure_contamination,
    "own_tests": measure_own_tests,
    "judge": measure_judge,
}
