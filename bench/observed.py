"""Functions of a corpus that are run to observe them: how many get tests and a bug that shows, the CPU seconds of all
processes (root, cgroup v1), whether a second run beside busy processes sees the same, and whether the code passes its
tests in the sandbox, control run and all, and the code with the bug fails.

Run: make bench BENCH=observed ARGS="data/corpus/corpus.parquet JavaScript"
Writes bench/results/observed.json.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from bench.score import account, cpu_seconds
from stages.lib import sandbox
from stages.lib.corpus import functions
from stages.lib.judging import execution
from stages.lib.methods import behaviour
from stages.lib.methods.behaviour import Observed, Subject
from stages.lib.tasks import bugs

BUSY = 4  # processes beside the second run
KNOBS = sandbox.Execution(limits=sandbox.Limits(), workers=2, allow_weak_isolation=False)
RESULTS = Path(__file__).parent / "results/observed.json"


def main(corpus: Path, language: str) -> None:
    """Measure, print and write."""
    account()
    rows = [row for row in pq.read_table(corpus).to_pylist() if row["language"] == language]
    subjects = [subject(row, language) for row in rows]
    started, used = time.monotonic(), cpu_seconds()
    observed = behaviour.observe(subjects, 4, KNOBS)
    seconds, cpu = time.monotonic() - started, cpu_seconds() - used
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        again = behaviour.observe(subjects, 4, KNOBS)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    tested = [(one, seen) for one, seen in zip(subjects, observed, strict=True) if seen.tests]
    figures = {
        "language": language,
        "functions": len(rows),
        "with_tests": len(tested),
        "with_a_bug_that_shows": sum(seen.bug is not None for _, seen in tested),
        "seconds": round(seconds, 1),
        "cpu_seconds_per_100": round(100 * cpu / len(rows), 1),
        "seen_otherwise_under_load": sum(one != other for one, other in zip(observed, again, strict=True)),
        "outcomes": dict(Counter(execution.run_all([row(*one) for one in tested], KNOBS).values())),
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()},
    }
    print(json.dumps(figures, indent=1))
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def subject(function: dict[str, str], language: str) -> Subject:
    """The function with the bugs that repair would try."""
    code = functions.with_imports(function)
    return Subject(function["id"], language, code, function["docstring"], bugs.draw(code, language, function["id"]))


def row(one: Subject, seen: Observed) -> dict[str, object]:
    """The row of repair, or of generation where no bug shows."""
    task, broken = ("code repair", seen.bug.code) if seen.bug else ("code generation", "")
    languages = {"language": one.language, "target_language": one.language}
    return {"id": one.id, "task": task, **languages, "information": broken, "solution": one.code, "tests": seen.tests}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
