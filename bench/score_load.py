"""Verdicts on an idle machine and on a busy one: the same programs scored alone, then beside 16 processes that spin.

500 programs, drawn by hash: right and buggy solutions of HumanEvalPack in six languages, right and mutated ones of
HumanEval+ and MBPP+. No verdict may differ.

Run: make bench BENCH=score_load ARGS="[FOLDER [PROGRAMS]]"; FOLDER holds humanevalpack and evalplus (shared/data)
Writes bench/results/score_load.json; exits with 1 where a verdict differs. "Idle" is as idle as the machine is: the
result tells its load.
"""

import ast
import hashlib
import json
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import agreement
from stages.lib import sandbox
from stages.lib.benchmarks import expected, extraction, scoring, suites
from stages.lib.sandbox.languages import LANGUAGES

WORKERS = 2
SPINNING = 16
PLUS = {"humanevalplus": "HumanEvalPlus-v0.1.10", "mbppplus": "MbppPlus-v0.2.0"}
FLAKY = ("Go/95", "Rust/32")  # right ones that fail at times: map order, a random search
Drawn = dict[str, tuple[suites.Benchmark, list[scoring.Sample]]]  # by the name in `make score`
Found = dict[str, list[sandbox.Outcome]]


def main(folder: Path, count: int) -> int:
    """Score all twice, print and write; 1 if a verdict differs."""
    drawn: Drawn = {}
    benchmarks = [*(f"humanevalfix-{language}" for language in LANGUAGES), *PLUS]
    for place, name in enumerate(benchmarks):
        benchmark = load(name, folder)
        if reason := sandbox.missing(benchmark.language):
            sys.exit(f"{name}: {reason}")
        samples = draw(benchmark, count * (place + 1) // len(benchmarks) - count * place // len(benchmarks))
        drawn[name] = benchmark, samples
        expected.find(benchmark, [benchmark.problems[one.task_id] for one in samples], WORKERS, False)
    print("programs drawn, expected outputs at hand", flush=True)
    loads, seconds = [os.getloadavg()[0]], []
    idle, spent = score(drawn, "idle")
    seconds.append(spent)
    with spinning(SPINNING):
        busy, spent = score(drawn, f"beside {SPINNING} spinning processes")
        loads.append(os.getloadavg()[0])
    seconds.append(spent)
    differ = {
        f"{name}, {sample.task_id}, {('right', 'wrong')[sample.number]}": [[*pair(one)], [*pair(other)]]
        for name, (_, samples) in drawn.items()
        for sample, one, other in zip(samples, idle[name], busy[name], strict=True)
        if one.verdict != other.verdict
    }
    report = {
        "programs": sum(map(len, idle.values())),
        "differ": differ,
        "verdicts": {name: dict(sorted(Counter(o.verdict for o in found).items())) for name, found in idle.items()},
        "seconds, idle and busy": [round(one, 1) for one in seconds],
        "load before, and at the end of the busy run": loads,
        "spinning": SPINNING,
        "workers": WORKERS,
        "isolation": sandbox.isolation(),
        "left out": FLAKY,
        "cpus": os.cpu_count(),
    }
    Path("bench/results/score_load.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    return int(bool(differ))


def load(name: str, folder: Path) -> suites.Benchmark:
    """The benchmark; of those with several releases the latest."""
    if name not in PLUS:
        return suites.load(name, folder)
    file = folder / f"evalplus/{PLUS[name]}.jsonl.gz"
    return suites.load(name, folder, hashlib.sha256(file.read_bytes()).hexdigest())


def draw(benchmark: suites.Benchmark, count: int) -> list[scoring.Sample]:
    """So many of its right (number 0) and wrong (1) programs, those whose names have the smallest hashes."""
    names = [(task_id, number) for task_id in benchmark.problems if task_id not in FLAKY for number in (0, 1)]
    names.sort(key=lambda name: hashlib.sha256(f"{benchmark.name} {name}".encode()).digest())
    return [
        scoring.Sample(task_id, number, _program(benchmark, benchmark.problems[task_id], number))
        for task_id, number in names[:count]
    ]


def _program(benchmark: suites.Benchmark, problem: suites.Problem, number: int) -> str:
    if problem.oracle:
        whole = problem.prompt + problem.canonical_solution
        return extraction.finish(benchmark, problem, _mutant(whole) if number else whole, "repaired")
    body = problem.buggy_solution if number else problem.canonical_solution
    return extraction.program(benchmark, problem, body, "completion", "repaired")


def _mutant(program: str) -> str:
    """The program with one operator, comparison or constant changed; as it is where it has none."""
    tree, chance = ast.parse(program), random.Random(program)
    spots = [spot for spot in ast.walk(tree) if isinstance(spot, (ast.Compare, ast.BinOp, ast.Constant))]
    chance.shuffle(spots)
    next((spot for spot in spots if agreement.mutate(spot)), None)
    return ast.unparse(tree)


def score(drawn: Drawn, how: str) -> tuple[Found, float]:
    """The outcomes by benchmark, and the seconds that all took."""
    settings = scoring.Settings(sandbox.Limits(), (1,), 1000, 0, WORKERS)
    started = time.monotonic()
    found: Found = {}
    for name, (benchmark, samples) in drawn.items():
        found[name] = list(scoring.run(benchmark, samples, settings))
        print(f"{time.monotonic() - started:6.0f} s, {how}: {name}", flush=True)
    return found, time.monotonic() - started


def pair(outcome: sandbox.Outcome) -> tuple[str, str]:
    """What is printed of an outcome."""
    return outcome.verdict, outcome.detail


@contextmanager
def spinning(count: int) -> Iterator[None]:
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
    os.setsid()  # Linux gives each session an equal share of the CPU, where autogroups are on
    while True:
        pass


if __name__ == "__main__":
    sys.exit(main(Path(given[0]) if (given := sys.argv[1:]) else suites.DATA, int(given[1]) if len(given) > 1 else 500))
