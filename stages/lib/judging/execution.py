"""Runs the tests that a teacher wrote for a solution: what came of it, in a word.

The tests are the teacher's, and so no proof. They say something only where they can fail: they must fail on a
function that returns nothing, and for a repair on the code that was to be repaired.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from stages.lib import params, sandbox
from stages.lib.tasks import unit_tests

PASSED, VACUOUS, INPUT_PASSES = "passed", "vacuous tests", "input passes too"
Row = dict[str, Any]  # of records.CANDIDATE


class Execution(params.Section):
    """How a solution is run."""

    limits: sandbox.Limits
    workers: int = Field(ge=1, exclude=True)
    allow_weak_isolation: bool = Field(exclude=True)


def run_all(rows: Sequence[Row], knobs: Execution) -> dict[str, str]:
    """By id, what came of each row that has tests: "passed", the sandbox's word for how the solution failed,
    "vacuous tests" (nothing returned passes them too) or "input passes too" (the code to repair does).

    Raises `BadInput` for a language that the sandbox of this machine does not run.
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
    language, solution = row["target_language"], row["solution"]
    name = unit_tests.entry_point(solution, language)
    tests = "\n".join(["def check(candidate):", *(f"    {line}" for line in row["tests"])])
    known = unit_tests.languages()[language]

    def program(code: str) -> sandbox.Program:
        return sandbox.Program(known["sandbox"], known["prelude"] + code, tests, name)

    nothing = sandbox.Program("python", "def f(*arguments, **named):\n    return None\n", tests, "f")
    broken = [("input", program(row["information"]))] if row["task"] == "code repair" else []
    return [("solution", program(solution)), ("nothing", nothing), *broken]


def _conclude(found: dict[str, str]) -> str:
    if found["solution"] != PASSED:
        return found["solution"]
    if found["nothing"] == PASSED:
        return VACUOUS
    return INPUT_PASSES if found.get("input") == PASSED else PASSED
