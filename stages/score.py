"""score@base, score@tuned, score@evolved-ROUND: every completion is run against its problem's tests, in the sandbox.

Reads   data/completions/KEY
Writes  data/scores/KEY/scores.parquet  a verdict per problem and sample
        metrics/score-KEY.json          pass@k by the unbiased estimator, its 95% intervals, counts, which problems

What of an answer is run is decided in stages/lib/benchmarks/answers.py; where it runs, in docs/sandbox.md.
"""

import logging
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.lib import artifacts, params, records, sandbox
from stages.lib.benchmarks import answers, catalog, scoring
from stages.lib.benchmarks import completions as places
from stages.lib.errors import BadInput


class Params(params.Section):
    """The section `score` of params.yaml."""

    mode: answers.Mode
    k: list[int] = Field(min_length=1)
    resamples: int = Field(ge=100)
    seed: int
    limits: sandbox.Limits
    workers: int = Field(ge=1, exclude=True)
    allow_weak_isolation: bool = Field(exclude=True)
    data: str = Field(default="shared/data", exclude=True)  # the pinned files themselves are in the result


log = logging.getLogger("tidemill.score")


def main(key: str = "") -> None:
    place = places.of(key, "score")
    knobs = params.load("score", Params)
    completions = artifacts.open(place.completions)
    benchmark = catalog.load(completions.params["benchmark"], Path(knobs.data))
    if reason := sandbox.missing(benchmark.language):
        raise BadInput(f"{benchmark.name} is not run: {reason}; install what is missing")
    form = completions.params["prompt"]
    rows = records.read(completions.file("completions.parquet"), records.COMPLETION).to_pylist()
    check_k(knobs.k, completions.params["samples"])
    samples = [to_sample(benchmark, row, form, knobs.mode) for row in rows]
    settings = scoring.Settings(
        limits=knobs.limits,
        k=tuple(knobs.k),
        resamples=knobs.resamples,
        seed=knobs.seed,
        workers=knobs.workers,
        allow_weak=knobs.allow_weak_isolation,
        mode=knobs.mode,
    )
    log.info("%d programs, isolation: %s", len(samples), sandbox.isolation(knobs.allow_weak_isolation))
    scores = [
        {"task_id": sample.task_id, "sample": sample.number, "verdict": outcome.verdict, "detail": outcome.detail}
        for sample, outcome in zip(samples, scoring.run(benchmark, samples, settings), strict=True)
    ]
    with artifacts.create(
        place.scores, stage=f"score@{key}", inputs=[completions], params=knobs.result, seed=knobs.seed
    ) as out:
        records.write(out / "scores.parquet", scores, records.SCORE)
        summary = scoring.summarize(benchmark, [(str(row["task_id"]), str(row["verdict"])) for row in scores], settings)
        artifacts.write_metrics(f"score@{key}", {**summary, "prompt": form, "mode": knobs.mode})


def check_k(k: list[int], samples: int) -> None:
    wrong = next((number for number in k if not 1 <= number <= samples), None)
    if wrong is not None:
        raise BadInput(
            f"params.yaml: score.k: pass@{wrong} needs 1 to {samples} (sample.samples) completions a problem"
        )


def to_sample(benchmark: catalog.Benchmark, row: dict[str, Any], form: str, mode: answers.Mode) -> scoring.Sample:
    problem = benchmark.problems[row["task_id"]]
    return scoring.Sample(
        row["task_id"], row["sample"], answers.program(benchmark, problem, row["completion"], form, mode)
    )
