"""The judge's audit: instances of known quality, planted among the rows that the judge is asked about.

Good ones are the tasks' good seeds, written and read by a person. Bad ones are seeds and candidates spoiled in the ways
that a task's file lists under `plants`, each with the rules that should then fail.

Every plant goes through the checks, which cost nothing. A request to the judge does, so it is asked about a draw.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from stages.lib import params
from stages.lib.artifacts import digest
from stages.lib.corpus import functions
from stages.lib.errors import BadInput
from stages.lib.judging.panel import Ballot, Vote, count_votes, stands
from stages.lib.judging.rates import GOOD
from stages.lib.judging.rules import RIGHT, load_rules
from stages.lib.records import Row
from stages.lib.tasks import bugs
from stages.lib.tasks.definitions import Task, load_task, load_tasks
from stages.lib.tasks.draws import rendezvous
from stages.lib.tasks.pool import seed_cases
from stages.lib.tasks.prompts import fill

GOOD_SHARE = 1 / 3  # of a draw
FIRST = 1  # the round with the seeds; a later one would ask the judge the same again


class Audit(params.Section):
    """What to plant: `seeds`, how many seeds and spoiled copies of seeds the judge is asked about (0: none is planted),
    and spoiled copies of this share of the candidates, drawn by id."""

    seeds: Annotated[int, Field(ge=0)] | Literal["all"]
    candidates: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class _Base:
    """An instance to spoil, and those whose solutions could be its own: code in any task that asks for code, otherwise
    those of its task."""

    row: Row
    others: list[Row]

    def draw(self, items: list[Any], what: str) -> Any:
        """One of `items` for this instance, by its id; None if there are none."""
        return next(iter(rendezvous(self.row["of"], 0, {f"{what} {i}": x for i, x in enumerate(items)}, 1)), None)


def plants(candidates: list[Row], audit: Audit, number: int) -> list[Row]:
    """The plants of round `number`, in the order of the seeds and candidates they are made from; those of seeds in the
    first round only."""
    seeds = [seed for task in load_tasks().values() for seed in _seeds(task)]
    drawn = [_instance(row, row["id"], "candidate") for row in candidates if _falls_in(row["id"], audit.candidates)]
    bases = [*(seeds if audit.seeds and number == FIRST else []), *drawn]
    found = [_plant(row, GOOD, []) for row in bases if row["origin"] == "seed"]
    for row in bases:
        pool = seeds if row["origin"] == "seed" else [*seeds, *drawn]  # a seed's plants are the same in every run
        base = _Base(row, [other for other in pool if _interchangeable(other["task"], row["task"])])
        for kind, broken in load_rules(row["task"]).plants.items():
            if kind not in KINDS:
                raise BadInput(f"task {row['task']}: plants: no kind {kind!r}; known: {', '.join(KINDS)}")
            if (changed := KINDS[kind](base)) is not None:
                found.append(_plant({**row, **changed}, kind, broken))
    return found


@dataclass(frozen=True)
class Trial:
    """The plants with the rulings of their checks, the ids of those that count for the judge, and those that it is
    asked about."""

    planted: list[Row]
    drawn: set[str]
    asked: list[Row]

    def conclude(self, ballots: Sequence[Mapping[str, Ballot]], vote: Vote) -> list[Row]:
        """The plants with the rulings of the vote too, as rows of `records.PLANT`. Without a usable answer of every
        judge one is left out, as a candidate is."""
        dead = {row["id"] for row in self.asked if not all(row["id"] in said for said in ballots)}
        found = []
        for row in self.planted:
            own = [said[row["id"]] for said in ballots if row["id"] in said]
            if row["id"] not in dead:
                rulings = [*row["rulings"], *count_votes(own, vote)]
                found.append({**row, "rulings": rulings, "drawn": row["id"] in self.drawn})
        return found


def prepare(planted: list[Row], audit: Audit, skip_failed_checks: bool) -> Trial:
    """Draw from the plants, each with the rulings of its checks."""
    free = {row["id"] for row in planted if skip_failed_checks and not stands(row["rulings"])}
    drawn = draw(planted, audit, free)
    return Trial(planted, drawn, [row for row in planted if row["id"] in drawn - free])


def draw(planted: list[Row], audit: Audit, free: Collection[str]) -> set[str]:
    """The ids of the plants that count: all that are made from candidates, and of those made from seeds so many that
    the judge is asked about `audit.seeds` of them.

    Tasks and kinds take turns, each in the order of its ids, which are hashes. Plants in `free` cost no request: they
    are drawn in their turn, until the others are as many as wanted. So a draw has the plants that fail a check, which
    the judge would never see, in the same proportion as all plants of the same turns.
    """
    seeds = [row for row in planted if row["origin"] == "seed"]
    found = {row["id"] for row in planted if row["origin"] != "seed"}
    if audit.seeds == "all":
        return found | {row["id"] for row in seeds}
    good = round(audit.seeds * GOOD_SHARE)
    found |= _draw([row for row in seeds if row["kind"] == GOOD], good, free)
    return found | _draw([row for row in seeds if row["kind"] != GOOD], audit.seeds - good, free)


def _draw(rows: list[Row], most: int, free: Collection[str]) -> set[str]:
    """Rows in turns of their tasks and kinds, until `most` of them are not `free`."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["id"]):
        groups[row["task"], row["kind"]].append(row["id"])
    found: set[str] = set()
    for row_id in filter(None, chain.from_iterable(zip_longest(*groups.values()))):
        if len(found.difference(free)) >= most:
            break
        found.add(row_id)
    return found


def mutated_code(base: _Base) -> Row | None:
    """The solution with a bug in one line."""
    found = bugs.draw(base.row["solution"], base.row["target_language"], base.row["of"], any_line=True)
    return {"solution": found[0].code} if found else None


def swapped_solution(base: _Base) -> Row | None:
    """Another instance's solution in the same language, of other code."""
    language = base.row["target_language"]
    others = [row for row in base.others if row["target_language"] == language and not _same_code(row, base.row)]
    others = [row for row in others if row["solution"] != base.row["solution"]]
    other = base.draw([row["solution"] for row in others], "other")
    return None if other is None else {"solution": other}


def unrepaired_code(base: _Base) -> Row | None:
    """The code to repair, returned unchanged."""
    return {"solution": base.row["information"]}


def leaked_answer(base: _Base) -> Row | None:
    """An instruction that gives the solution away."""
    leak = _data()["leak"].format(instruction=base.row["instruction"], solution=base.row["solution"].strip())
    return {"instruction": leak}


def prose_in_code(base: _Base) -> Row | None:
    """Sentences around the code of the solution."""
    before = _data()["before"].format(language=base.row["target_language"])
    return {"solution": f"{before}\n{base.row['solution']}\n{_data()['after']}"}


def code_in_prose(base: _Base) -> Row | None:
    """A line of code after the sentences of the solution."""
    return {"solution": f"{base.row['solution'].strip()}\n{_data()['line']}"}


def wrong_language(base: _Base) -> Row | None:
    """An instruction that asks for another language than the solution is in."""
    own = base.row["target_language"]
    others = [name for name in functions.languages() if name != base.row["language"]]
    others = [name for name in others if not functions.parses(base.row["solution"], name)]
    other = base.draw(others, "language")
    named = re.compile(rf"(?<![\w+#]){re.escape(own)}(?![\w+#])")
    if other is None or not named.search(base.row["instruction"]):
        return None
    is_translation = own != base.row["language"]
    instruction = named.sub(lambda _: other, base.row["instruction"])
    return {
        "instruction": instruction,
        "target_language": other,
        "language": base.row["language"] if is_translation else other,
    }


KINDS: dict[str, Callable[[_Base], Row | None]] = {
    "mutated code": mutated_code,
    "swapped solution": swapped_solution,
    "unrepaired code": unrepaired_code,
    "leaked answer": leaked_answer,
    "prose in code": prose_in_code,
    "code in prose": code_in_prose,
    "wrong language": wrong_language,
}


def _seeds(task: Task) -> list[Row]:
    found = []
    for case in seed_cases():
        if case.task == task.name and case.good:
            filled = fill(task, case.code.strip("\n"), case.answer)
            languages = {"language": case.language, "target_language": case.target_language}
            found.append(_instance({"task": task.name, **languages, **filled}, case.id, "seed"))
    return found


def _same_code(row: Row, other: Row) -> bool:
    """Whether both are about the same code, so that the solution of one may be right for the other."""
    codes = [{one["information"], one["solution"]} - {""} for one in (row, other)]
    return not codes[0].isdisjoint(codes[1])


def _interchangeable(task: str, other: str) -> bool:
    """Whether a solution of one task has the form of the other's: both are code, or the task is the same."""
    return task == other or (load_task(task).solution_is_code and load_task(other).solution_is_code)


def _instance(row: Mapping[str, Any], of: str, origin: str) -> Row:
    keys = ("task", "language", "target_language", "instruction", "information", "solution")
    return {"of": of, "origin": origin, **{key: row[key] for key in keys}}


def _plant(row: Row, kind: str, breaks: list[str]) -> Row:
    judged = {rule.rule for rule in load_rules(row["task"]).judge}
    broken = [*breaks, *([RIGHT] if judged.intersection(breaks) else [])]
    return {"id": digest({"plant": kind, **row}), "kind": kind, "breaks": broken, **row}


def _falls_in(row_id: str, share: float) -> bool:
    return int(digest({"audit": row_id})[:8], 16) < share * 2**32


@cache
def _data() -> dict[str, Any]:
    return params.read(Path(__file__).with_name("mutations.yaml"))
