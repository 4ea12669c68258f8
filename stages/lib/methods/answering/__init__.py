"""Several answers to one instruction: the teacher is asked for the solution again, each time under another seed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.lib import teacher, templates
from stages.lib.artifacts import digest
from stages.lib.methods.assignment import Assignment
from stages.lib.records import Row
from stages.lib.tasks.prompts import object_schema

FOLDER = Path(__file__).parent


def add(
    model: teacher.Teacher,
    ledger: teacher.Ledger,
    candidates: Sequence[Row],
    rows: Sequence[Assignment],
    answers: int,
    keeps: bool,
) -> list[Row]:
    """`candidates`, made from `rows`, each followed by further answers to it, `answers` in all, where the teacher
    writes the solution. All answers to one have its id as `question`, and its tests. `keeps` the reasoning."""
    made_from = {(row.function["id"], row.task.name): row for row in rows}
    asked = [
        (candidate, row, number)
        for candidate in candidates
        if (row := made_from[candidate["function_id"], candidate["task"]]).writes_solution
        for number in range(2, answers + 1)
    ]
    further: dict[str, list[Row]] = {}
    answered = model.answers((_ask(*one) for one in asked), total=len(asked))
    for (candidate, row, _), answer in zip(asked, answered, strict=True):
        ledger.add(answer)
        if answer.value is not None:
            further.setdefault(candidate["id"], []).append(_candidate(candidate, row, answer, keeps))
    return [
        {**one, "question": candidate["id"]}
        for candidate in candidates
        for one in (candidate, *further.get(candidate["id"], []))
    ]


def _ask(candidate: Row, row: Assignment, number: int) -> teacher.Ask:
    said = {key: candidate[key] for key in ("instruction", "information")}
    question = templates.prompt(FOLDER / "user.j2", **said)
    schema = object_schema({"solution": row.schema["properties"]["solution"]})

    def objection(written: Mapping[str, Any]) -> str:
        return row.objection({**_written(candidate), **written})

    messages = templates.conversation(templates.prompt(FOLDER / "system.j2"), [], question)
    return teacher.Ask(f"{candidate['id']} answer {number}", messages, schema, objection)


def _candidate(candidate: Row, row: Assignment, answer: teacher.Answer, keeps: bool) -> Row:
    """The further candidate; its id covers the question and all that the teacher was asked."""
    assert answer.value is not None
    again = row.candidate({**_written(candidate), **answer.value}, answer.request, answer.asked, candidate["round"])
    identity = {"id": digest({"question": candidate["id"], "asked": answer.asked}), "tests": candidate["tests"]}
    return {**again, **identity, **({"reasoning": answer.reasoning} if keeps else {})}


def _written(candidate: Row) -> dict[str, Any]:
    return dict(json.loads(candidate["answer"]))
