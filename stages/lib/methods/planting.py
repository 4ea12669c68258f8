"""Gives the rows of code repair their bugs, where the program plants them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from stages.lib import params
from stages.lib.errors import BadInput
from stages.lib.methods.assignment import Assignment
from stages.lib.records import Row
from stages.lib.tasks import bugs
from stages.lib.tasks.definitions import load_task
from stages.lib.tasks.pool import Case
from stages.lib.tasks.slices import estimate_tokens


class Repair(params.Section):
    """Who plants the bugs of code repair: the program by mutation, or the teacher."""

    bug: Literal["mutation", "teacher"]


def plant(
    rows: Sequence[Assignment], pool: Sequence[Case], seed: int, mix: Mapping[str, float], good: int, bad: int
) -> tuple[list[Assignment], list[Row], Counter[str]]:
    """The rows, with a bug in each whose task wants one; the functions that are set aside; and counts.

    A function in which no bug can be planted gets another task of `mix`, drawn with the other arguments as at first;
    it is set aside if there is none. Raises `BadInput` if no row is left.
    """
    rest = {task: share for task, share in mix.items() if share and load_task(task).planted is None}
    ready, set_aside, counts = list[Assignment](), list[Row](), Counter[str]()
    for row in rows:
        function = row.function
        if not row.can_have_bug_planted:
            ready.append(row)
        elif found := bugs.draw(function["code"], function["language"], function["id"]):
            counts["planted"] += 1
            ready.append(row.with_bug(found[0].shown("")))
        elif rest:
            counts["given another task"] += 1
            ready.append(Assignment.draw(row.method, function, pool, seed, rest, good, bad, again=True))
        else:
            tokens = estimate_tokens(function["code"])
            set_aside.append({"id": function["id"], "reason": "no bug can be planted", "tokens": tokens})
    if not ready:
        raise BadInput("a bug can be planted in none of the functions; add a task to generate.mix")
    return ready, set_aside, counts
