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


def ask_each(model: teacher.Teacher, rows: Sequence[Assignment], documentation: str) -> Iterator[teacher.Answer | None]:
    """The answer about each row, in order; None where its method asks no teacher."""
    asked = [row for row in rows if row.method.asks]
    answers = iter(model.answers(list_asks(asked, documentation), total=len(asked)) if asked else ())
    for row in rows:
        yield next(answers) if row.method.asks else None


def read_answer(row: Assignment, answer: teacher.Answer | None, number: int, keep_reasoning: bool) -> Row | None:
    """The candidate of round `number` in the answer about `row`, or the program's own where no teacher was asked; None
    for a dead letter."""
    if answer is None:
        return row.candidate({}, "", "", number)
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
    """A candidate for each row, in order, except those the teacher does not answer; its answers go to `ledger`."""
    usable = progress.Share()
    for row, answer in zip(rows, ask_each(model, rows, documentation), strict=True):
        candidate = read_answer(row, answer, number, keep_reasoning)
        if answer is not None:
            ledger.add(answer)
            progress.note(usable=usable.add(candidate is not None))
        if candidate is not None:
            progress.note(last=candidate["instruction"])
            yield candidate
