"""Completions of HumanEval, half of them right, as sample leaves them."""

from stages.lib import artifacts, records
from stages.lib.benchmarks import suites


def write(count: int = 35) -> None:
    """Two completions each for the first `count` problems, as the artifact data/completions/base."""
    benchmark = suites.load("humaneval")
    rows = [
        {
            "task_id": problem.task_id,
            "sample": number,
            "prompt": problem.prompt,
            "completion": problem.canonical_solution if number else "    return 0\n",
            "tokens": 1,
            "finished": True,
        }
        for problem in benchmark.first(count)
        for number in range(2)
    ]
    asked = {"benchmark": "humaneval", "benchmark_sha256": benchmark.sha256}
    made_with = {**asked, "prompt": "completion", "samples": 2}
    with artifacts.create("data/completions/base", stage="sample@base", params=made_with) as out:
        records.write(out / "completions.parquet", rows, records.COMPLETION)
