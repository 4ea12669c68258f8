"""Runs samples against a benchmark's tests and counts them, for `score` and `make score`."""

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stages.lib import sandbox, statistics
from stages.lib.benchmarks import expected, extraction
from stages.lib.benchmarks.suites import Benchmark

METRIC = Path(__file__).parent / "pass_at_k"


@dataclass(frozen=True)
class Sample:
    """One program that claims to solve `task_id`."""

    task_id: str
    number: int
    program: str


@dataclass(frozen=True)
class Settings:
    """How samples are run and counted: pass@k for each of `k`, bootstrap with `resamples` draws of `seed`; `control`:
    with the control run (docs/sandbox.md)."""

    limits: sandbox.Limits
    k: tuple[int, ...]
    resamples: int
    seed: int
    workers: int
    allow_weak: bool = False
    mode: extraction.Mode = "repaired"
    control: bool = True


def run(benchmark: Benchmark, samples: Sequence[Sample], settings: Settings) -> Generator[sandbox.Outcome]:
    """The outcome of each sample, in order. Raises `BadInput` without isolation unless weak isolation is allowed."""
    problems = [benchmark.problems[task_id] for task_id in dict.fromkeys(sample.task_id for sample in samples)]
    known = expected.find(benchmark, problems, settings.workers, settings.allow_weak)
    tests = {
        problem.task_id: expected.tests(problem, known[problem.task_id])
        if problem.oracle
        else extraction.tests(benchmark, problem, settings.mode)
        for problem in problems
    }
    limits = {task_id: found.limits(settings.limits) for task_id, found in known.items()}
    programs = [_program(benchmark, sample, tests[sample.task_id], limits.get(sample.task_id)) for sample in samples]
    yield from sandbox.run_all(programs, settings.limits, settings.workers, settings.allow_weak, settings.control)


def _program(benchmark: Benchmark, sample: Sample, tests: str, limits: sandbox.Limits | None) -> sandbox.Program:
    problem = benchmark.problems[sample.task_id]
    # Some tests call helpers from the prompt; give them the prompt's own, not the candidate's.
    helpers = "" if benchmark.family == "mbpp" else f"{problem.prompt}\n    pass\n"
    return sandbox.Program(
        language=benchmark.language,
        candidate=sample.program,
        tests=tests,
        entry_point=problem.entry_point,
        helpers=helpers,
        limits=limits,
    )


def summarize(benchmark: Benchmark, verdicts: Sequence[tuple[str, str]], settings: Settings) -> dict[str, Any]:
    """pass@k with its intervals, and counts, of (task id, verdict) pairs; at least one pair."""
    totals = Counter(task_id for task_id, _ in verdicts)
    passed = Counter(task_id for task_id, verdict in verdicts if verdict == "passed")
    tasks = [task_id for task_id in benchmark.problems if task_id in totals]
    shares = [passed[task_id] / totals[task_id] for task_id in tasks]
    scores = pass_at_k([passed[task_id] for task_id in tasks], [totals[task_id] for task_id in tasks], settings.k)
    return {
        **scores,
        "pass@1_bootstrap_95": list(statistics.bootstrap(shares, settings.resamples, settings.seed)),
        "pass@1_wilson_95": list(statistics.wilson(sum(shares) / len(shares), len(shares))),
        "passed": passed.total(),
        "total": totals.total(),
        "problems": len(tasks),
        "samples_per_problem": {"least": min(totals.values()), "most": max(totals.values())},
        "problems_solved": len(passed),
        "forged": sum(verdict == "forged" for _, verdict in verdicts),
        "verdicts": dict(sorted(Counter(verdict for _, verdict in verdicts).items())),
        "slice": benchmark.describe(set(tasks)),
    }


def pass_at_k(passed: Sequence[int], totals: Sequence[int], k: Sequence[int]) -> dict[str, float]:
    """pass@k over problems, by the metric module that others load from this repository too."""
    return dict(_metric().compute(predictions=list(passed), references=list(totals), k=list(k)))


@cache
def _metric() -> Any:
    """The metric. `evaluate` runs a cached copy that it never compares with the original again; our own cache folder
    makes sure that it is a copy of this file."""
    import evaluate

    with TemporaryDirectory() as folder:
        evaluate.config.HF_MODULES_CACHE = Path(folder)
        return evaluate.load(str(METRIC), keep_in_memory=True, cache_dir=folder)
