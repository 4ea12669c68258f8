"""score@base, score@tuned, score@evolved-ROUND: runs every completion against its problem's tests, in the sandbox.

Reads   data/completions/KEY
Writes  data/scores/KEY/scores.parquet  a verdict per problem and sample
        metrics/score-KEY.json          pass@k (unbiased estimator), 95% intervals, counts, which problems

Verdicts are saved every few programs: a killed run resumes after them, and machines can split the programs
(stages/lib/shards.py). stages/lib/benchmarks/extraction.py decides what part of an answer runs; docs/sandbox.md, where.
"""

import logging
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.lib import artifacts, checkpoint, params, progress, records, sandbox, shards
from stages.lib.benchmarks import extraction, scoring, suites
from stages.lib.benchmarks import paths as places
from stages.lib.errors import BadInput


class Params(params.Section):
    """The section `score` of params.yaml."""

    mode: extraction.Mode
    k: list[int] = Field(min_length=1)
    resamples: int = Field(ge=100)
    seed: int
    limits: sandbox.Limits
    control: bool
    workers: int = Field(ge=1, exclude=True)
    allow_weak_isolation: bool = Field(exclude=True)
    data: str = Field(default="shared/data", exclude=True)  # the files' hashes are in the result


SAVED = 16  # programs per save

log = logging.getLogger("tidemill.score")


def main(key: str = "") -> None:
    place = places.of(key, "score")
    knobs = params.load("score", Params)
    completions = artifacts.open(place.completions)
    benchmark = suites.load(completions.params["benchmark"], Path(knobs.data), completions.params["benchmark_sha256"])
    if reason := sandbox.missing(benchmark.language):
        raise BadInput(f"{benchmark.name} cannot be scored here: {reason}; install what is missing")
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
        control=knobs.control,
    )
    saves = checkpoint.folder(f"score@{key}", [completions], {**knobs.result, "saved": SAVED}, knobs.seed)
    run(benchmark, samples, settings, saves)
    if shards.is_one():
        return
    scores = read_scores(samples, saves)
    with artifacts.create(
        place.scores, stage=f"score@{key}", inputs=[completions], params=knobs.result, seed=knobs.seed
    ) as out:
        records.write(out / "scores.parquet", scores, records.SCORE)
        summary = scoring.summarize(benchmark, [(str(row["task_id"]), str(row["verdict"])) for row in scores], settings)
        artifacts.write_metrics(f"score@{key}", {**summary, "prompt": form, "mode": knobs.mode})
    checkpoint.discard(saves)


def run(benchmark: suites.Benchmark, samples: list[scoring.Sample], settings: scoring.Settings, saves: Path) -> None:
    """Save the verdicts of our samples that are not saved yet."""
    parts = [samples[start : start + SAVED] for start in range(0, len(samples), SAVED)]
    missing = [number for number in shards.mine(len(parts)) if not checkpoint.is_valid(save_of(saves, number))]
    if not missing:
        return
    programs = [sample for number in missing for sample in parts[number]]
    log.info("%d programs, isolation: %s", len(programs), sandbox.isolation(settings.allow_weak))
    with (
        progress.work("running", len(programs), "programs") as work,
        closing(scoring.run(benchmark, programs, settings)) as outcomes,
    ):
        passed = progress.Share()
        for number in missing:
            verdicts = []
            for one in islice(outcomes, len(parts[number])):
                verdicts.append([one.verdict, one.detail])
                work.add()
                work.note(passed=passed.add(one.verdict == "passed"))
            artifacts.write_json(save_of(saves, number) / "verdicts.json", verdicts)
            checkpoint.seal(save_of(saves, number))
            checkpoint.raise_if_stop_requested()


def read_scores(samples: list[scoring.Sample], saves: Path) -> list[dict[str, Any]]:
    """Rows of `records.SCORE`, in sample order, from all saves."""
    count = -(-len(samples) // SAVED)
    verdicts = [one for n in range(count) for one in artifacts.read_json(save_of(saves, n) / "verdicts.json")]
    return [
        {"task_id": sample.task_id, "sample": sample.number, "verdict": verdict, "detail": detail}
        for sample, (verdict, detail) in zip(samples, verdicts, strict=True)
    ]


def save_of(saves: Path, number: int) -> Path:
    return saves / f"programs-{number:06d}"


def check_k(k: list[int], samples: int) -> None:
    wrong = next((number for number in k if not 1 <= number <= samples), None)
    if wrong is not None:
        raise BadInput(f"params.yaml: score.k: {wrong} is not between 1 and sample.samples ({samples})")


def to_sample(benchmark: suites.Benchmark, row: dict[str, Any], form: str, mode: extraction.Mode) -> scoring.Sample:
    problem = benchmark.problems[row["task_id"]]
    return scoring.Sample(
        row["task_id"], row["sample"], extraction.program(benchmark, problem, row["completion"], form, mode)
    )
