"""Scored twice: by one worker, then by four beside busy processes, so that each core has four things to do. The
verdicts of HumanEvalPack's canonical and buggy solutions, in each language, have to be the same.

Run: make bench BENCH=soak ARGS="[FOLDER [PROBLEMS_A_LANGUAGE]]"; FOLDER has HumanEvalPack (shared/data)
Writes bench/results/soak.json: programs, verdicts and those that differ, by language; exits with 1 where some do.
"""

import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.lib import sandbox
from stages.lib.benchmarks import extraction, scoring, suites
from stages.lib.sandbox.languages import LANGUAGES

WORKERS = 4
LOAD = 4  # things to do for each core
FLAKY = ("Go/95", "Rust/32")  # in their canonical form: map order, a random search


def main(folder: Path, count: int) -> int:
    """Score every language twice, print and write; 1 if a verdict differs."""
    cores = os.cpu_count() or 1
    results: dict[str, object] = {}
    differ = 0
    for language in LANGUAGES:
        if reason := sandbox.missing(language):
            results[language] = reason
            continue
        benchmark = suites.load(f"humanevalfix-{language}", folder)
        samples = list(solutions(benchmark, count))
        quiet, _ = verdicts(benchmark, samples, 1)
        with busy(LOAD * cores - WORKERS):
            loaded, seconds = verdicts(benchmark, samples, WORKERS)
        odd = {
            f"{sample.task_id}, {('canonical', 'buggy')[sample.number]}": pair
            for sample, *pair in zip(samples, quiet, loaded, strict=True)
            if pair[0] != pair[1]
        }
        differ += len(odd)
        results[language] = {
            "programs": len(samples),
            "verdicts": dict(sorted(Counter(quiet).items())),
            "differ": odd,
            "seconds under load": round(seconds, 1),
        }
        print(language, results[language], flush=True)
    report = {
        "workers": [1, WORKERS],
        "things to do for each core": LOAD,
        "isolation": sandbox.isolation(),
        "left out": FLAKY,
        "languages": results,
        "machine": {"cpus": cores, "load": os.getloadavg()},
    }
    Path("bench/results/soak.json").write_text(json.dumps(report, indent=1) + "\n")
    return int(differ > 0)


def solutions(benchmark: suites.Benchmark, count: int) -> Iterator[scoring.Sample]:
    """The canonical (number 0) and the buggy (1) solution of each problem, but for the flaky ones."""
    for problem in benchmark.first(count):
        if problem.task_id not in FLAKY:
            for number, body in enumerate((problem.canonical_solution, problem.buggy_solution)):
                program = extraction.program(benchmark, problem, body, "completion", "repaired")
                yield scoring.Sample(problem.task_id, number, program)


def verdicts(
    benchmark: suites.Benchmark, samples: list[scoring.Sample], workers: int
) -> tuple[list[sandbox.Verdict], float]:
    """The verdict of each sample, and the seconds that all took."""
    settings = scoring.Settings(sandbox.Limits(), (1,), 1000, 0, workers)
    started = time.monotonic()
    return [outcome.verdict for outcome in scoring.run(benchmark, samples, settings)], time.monotonic() - started


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that do nothing but use a core."""
    processes = [multiprocessing.get_context("fork").Process(target=_spin, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _spin() -> None:
    while True:
        pass


if __name__ == "__main__":
    sys.exit(main(Path(given[0]) if (given := sys.argv[1:]) else suites.DATA, int(given[1]) if len(given) > 1 else 20))
