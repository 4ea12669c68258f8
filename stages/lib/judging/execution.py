"""Runs a solution's tests and names the outcome.

Passing tests that a teacher wrote proves little. Tests count only if they can fail: on a function that returns
nothing, and for a repair also on the code to be repaired.
"""

from collections.abc import Sequence

from stages.lib import sandbox
from stages.lib.records import Row
from stages.lib.tasks import unit_tests
from stages.lib.tasks.definitions import load_task

PASSED, VACUOUS, INPUT_PASSES = "passed", "vacuous tests", "input passes too"


def run_all(rows: Sequence[Row], knobs: sandbox.Execution) -> dict[str, str]:
    """The outcome by id, for each row with tests: "passed", the sandbox's word for the failure, "vacuous tests" (a
    function that returns nothing passes them too) or "input passes too" (the code to repair does).

    Raises `BadInput` for a language that this machine's sandbox does not run.
    """
    runs = [(row["id"], what, program) for row in rows if row["tests"] for what, program in _programs(row)]
    if not runs:
        return {}
    programs = (program for *_, program in runs)
    outcomes = sandbox.run_all(programs, knobs.limits, knobs.workers, knobs.allow_weak_isolation)
    verdicts: dict[str, dict[str, str]] = {}
    for (row, what, _), outcome in zip(runs, outcomes, strict=True):
        verdicts.setdefault(row, {})[what] = outcome.verdict
    return {row: _conclude(found) for row, found in verdicts.items()}


def _programs(row: Row) -> list[tuple[str, sandbox.Program]]:
    """The programs to run for a row; none if fewer than `LEAST` of its tests apply to its solution."""
    language = row["target_language"]
    solution = row["solution"]
    code, tests, lines = unit_tests.runnable(solution, language, row["tests"])
    if len(lines) < unit_tests.LEAST:
        return []
    word = unit_tests.languages()[language]["sandbox"]
    runs = [("solution", sandbox.Program(word, code, tests, unit_tests.entry_point(solution, language)))]
    nothing = "def f(*arguments, **named):\n    return None\n"
    runs.append(("nothing", sandbox.Program("python", nothing, unit_tests.python_tests(lines), "f")))
    if load_task(row["task"]).information_is_broken:
        broken = row["information"]
        code, tests, put = unit_tests.runnable(broken, language, lines)
        if put:  # otherwise it has nothing to call, and fails
            runs.append(("input", sandbox.Program(word, code, tests, unit_tests.entry_point(broken, language))))
    return runs


def _conclude(found: dict[str, str]) -> str:
    if found["solution"] != PASSED:
        return found["solution"]
    if found["nothing"] == PASSED:
        return VACUOUS
    return INPUT_PASSES if found.get("input") == PASSED else PASSED
