"""Gets a round's rows ready to be asked about: their functions are run, and those of code repair get their bugs."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from pydantic import Field

from stages.lib import params
from stages.lib.methods import behaviour
from stages.lib.methods.assignment import Assignment, Wording
from stages.lib.methods.behaviour import Observed, Shown, Subject
from stages.lib.methods.method import load_method
from stages.lib.records import Row
from stages.lib.sandbox import Execution
from stages.lib.tasks import bugs, unit_tests
from stages.lib.tasks.definitions import load_task
from stages.lib.tasks.pool import Case
from stages.lib.tasks.slices import estimate_tokens


class Repair(params.Section):
    """Who plants the bugs of code repair: the program by mutation, or the teacher. `extra`: up to how many such rows a
    function has, its own counted, with those of the method `mutation` whose bugs a run shows; True: one, False: none
    but its own."""

    bug: Literal["mutation", "teacher"]
    extra: bool | Annotated[int, Field(gt=1)] = params.new(False)


class Tests(params.Section):
    """Languages whose solutions get tests, the most tests per solution, where they come from, and how functions are
    run to observe them."""

    languages: unit_tests.Languages
    count: int = Field(ge=unit_tests.LEAST)
    origin: Literal["observed", "teacher"] = Field(alias="from")
    execution: Execution


@dataclass
class Ready:
    """The `rows` to ask about, the functions that are `set_aside`, the bugs' `counts`, and the `tests` that hold of a
    function, by its id."""

    rows: list[Assignment] = field(default_factory=list)
    set_aside: list[Row] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    tests: dict[str, list[str]] = field(default_factory=dict)


def with_repairs(
    rows: list[Assignment], most: int, pool: Sequence[Case], drawn_by: tuple[int, Mapping[str, float], Wording]
) -> list[Assignment]:
    """The `rows` of one function, and after them rows of the method `mutation`, to `most` rows with its task."""
    method = load_method("mutation")
    has = any(row.task.name == method.task for row in rows)
    extra = Assignment.draw(method, rows[0].function, pool, *drawn_by)
    return [*rows, *(replace(extra, turn=turn) for turn in range(has, most))]


def prepare(
    rows: Sequence[Assignment],
    pool: Sequence[Case],
    drawn_by: tuple[int, Mapping[str, float], Wording],
    repair: Repair,
    tests: Tests,
) -> Ready:
    """Observe the functions of `rows`, if that is asked for, and plant the bugs, if the program is to.

    A function in which no bug can be planted, or none that changes what it does, gets another task of the mix, drawn
    with `drawn_by` (seed, mix, wording) as at first; it is set aside if there is none, or if the method has but one
    task. A row that `with_repairs` added is left out unless a run shows its bug. What becomes of a function does not
    depend on the others.
    """
    by_program = (row for row in rows if row.can_have_bug_planted and (row.method.plants or repair.bug == "mutation"))
    found = {row.function["id"]: _bugs(row) for row in by_program}
    seen = _observe(rows, found, tests)
    ready = Ready(tests={identity: one.tests for identity, one in seen.items() if one.tests})
    seed, mix, wording = drawn_by
    taken = {(row.function["id"], row.task.name) for row in rows}
    for row in rows:
        if row.function["id"] not in found or not row.can_have_bug_planted:
            ready.rows.append(row)
            continue
        identity = row.function["id"]
        one = seen.get(identity, Observed())
        extra = row.turn > 0 or row.method is not rows[0].method
        offered = one.shown if one.ran or extra else [Shown(bug, "") for bug in found[identity]]
        if row.turn < len(offered):
            planted = offered[row.turn]
            ready.counts["shown" if one.ran else "unproven"] += 1
            ready.rows.append(row.with_bug(planted.bug.shown(planted.seen)))
        elif rest := {} if row.method.plants else _other_tasks(identity, mix, taken):
            ready.counts["given another task"] += 1
            ready.rows.append(Assignment.draw(row.method, row.function, pool, seed, rest, wording, again=True))
        elif extra:
            ready.counts["no extra"] += 1
        else:
            tokens = estimate_tokens(row.function["code"])
            ready.set_aside.append({"id": identity, "reason": "no bug can be planted", "tokens": tokens})
    return ready


def with_tests(candidates: list[Row], tests: Mapping[str, list[str]], languages: list[str]) -> list[Row]:
    """The candidates, each with the tests of its function where its solution can be run."""
    return [
        {**row, "tests": tests.get(row["function_id"], []) if unit_tests.wanted(row, languages) else []}
        for row in candidates
    ]


def _other_tasks(identity: str, mix: Mapping[str, float], taken: Set[tuple[str, str]]) -> dict[str, float]:
    """The tasks of the mix that want no planted bug and that the function has no row of."""
    return {
        task: share
        for task, share in mix.items()
        if share and load_task(task).planted is None and (identity, task) not in taken
    }


def _bugs(row: Assignment) -> list[bugs.Bug]:
    return bugs.draw(row.function["code"], row.function["language"], row.function["id"])


def _observe(rows: Sequence[Assignment], found: Mapping[str, list[bugs.Bug]], tests: Tests) -> dict[str, Observed]:
    """What is seen of the functions whose tests, or bugs, can be of use, by their ids."""
    if tests.origin != "observed":
        return {}
    subjects = {
        row.function["id"]: Subject(
            id=row.function["id"],
            language=row.function["language"],
            code=row.function["code"],
            docstring=row.function["docstring"],
            bugs=found.get(row.function["id"], []),
        )
        for row in rows
        if (row.method.task is None or row.method.plants)
        and row.task.solution_is_code
        and {row.function["language"], row.target_language} <= set(tests.languages)
    }
    observed = behaviour.observe(list(subjects.values()), tests.count, tests.execution)
    return dict(zip(subjects, observed, strict=True))
