"""Asks the teacher for the tests of a round's candidates."""

from pathlib import Path
from typing import Any

from stages.lib import teacher
from stages.lib.records import Row
from stages.lib.tasks import unit_tests


def add_tests(
    model: teacher.Teacher, candidates: list[Row], languages: list[str], count: int, out: Path
) -> tuple[list[Row], dict[str, Any]]:
    """The candidates, with at most `count` tests where their solution is a function in one of `languages` that can be
    run; and the cost. The exchanges are kept in `out`/tests."""
    wanted = [row for row in candidates if unit_tests.wanted(row, languages)]
    schema = unit_tests.schema(count)
    asks = (teacher.Ask(row["id"], unit_tests.messages(row, count), schema, unit_tests.objection) for row in wanted)
    (out / "tests").mkdir()
    tests = {}
    with model.ledger(out / "tests") as ledger:
        for row, answer in zip(wanted, model.answers(asks, total=len(wanted)), strict=True):
            ledger.add(answer)
            tests[row["id"]] = unit_tests.usable(answer.value)
    rows = [{**row, "tests": tests.get(row["id"], [])} for row in candidates]
    return rows, {**ledger.metrics(), "rows_with_tests": sum(bool(row["tests"]) for row in rows)}
