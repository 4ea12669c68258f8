"""Asks the teacher for a round's candidates."""

from collections.abc import Iterable, Iterator, Sequence

from stages.lib import progress, teacher
from stages.lib.methods.assignment import Assignment
from stages.lib.records import Row


def list_asks(rows: Iterable[Assignment], documentation: str) -> Iterator[teacher.Ask]:
    """The question about each row; `documentation` "hidden": without the function's docstring."""
    for row in rows:
        shown = "" if documentation == "hidden" else row.function["docstring"]
        yield teacher.Ask(row.function["id"], row.messages(shown), row.schema, row.objection)


def read_answer(row: Assignment, answer: teacher.Answer, number: int, keep_reasoning: bool) -> Row | None:
    """The candidate of round `number` in the answer about `row`; None for a dead letter."""
    if answer.value is None:
        return None
    candidate = row.candidate(answer.value, answer.request, answer.asked, number)
    return candidate | ({"reasoning": answer.reasoning} if keep_reasoning else {})


def write_candidates(
    model: teacher.Teacher,
    ledger: teacher.Ledger,
    rows: Sequence[Assignment],
    number: int,
    documentation: str,
    keep_reasoning: bool,
) -> Iterator[Row]:
    """A candidate for each row that the teacher answers, in order; its answers go to `ledger`."""
    if rows and not rows[0].method.asks:
        yield from (row.candidate({}, "", "", number) for row in rows)
        return
    answers = model.answers(list_asks(rows, documentation), total=len(rows))
    usable = progress.Share()
    for row, answer in zip(rows, answers, strict=True):
        ledger.add(answer)
        candidate = read_answer(row, answer, number, keep_reasoning)
        progress.note(usable=usable.add(candidate is not None))
        if candidate is not None:
            progress.note(last=candidate["instruction"])
            yield candidate
