"""The judge's audit: instances of known quality, planted among the rows that the judge is asked about.

Good ones are the tasks' good seeds, written and read by a person. Bad ones are seeds and candidates spoiled in the ways
that a task's file lists under `plants`, each with the rules that should then fail.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.lib import params
from stages.lib.artifacts import digest
from stages.lib.corpus import functions
from stages.lib.errors import BadInput
from stages.lib.judging.rates import GOOD
from stages.lib.judging.rules import load_rules
from stages.lib.records import Row
from stages.lib.tasks import bugs
from stages.lib.tasks.definitions import Task, load_tasks
from stages.lib.tasks.draws import rendezvous
from stages.lib.tasks.pool import seed_cases
from stages.lib.tasks.prompts import fill


class Audit(params.Section):
    """What to plant: the seeds and spoiled copies of them, and spoiled copies of this share of the candidates, drawn by
    id."""

    seeds: bool
    candidates: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class _Base:
    """An instance to spoil, and the others of its task."""

    row: Row
    others: list[Row]

    def draw(self, items: list[Any], what: str) -> Any:
        """One of `items` for this instance, by its id; None if there are none."""
        return next(iter(rendezvous(self.row["of"], 0, {f"{what} {i}": x for i, x in enumerate(items)}, 1)), None)


def plants(candidates: list[Row], audit: Audit) -> list[Row]:
    """The plants, in the order of the seeds and candidates they are made from."""
    seeds = [seed for task in load_tasks().values() for seed in _seeds(task)]
    drawn = [_instance(row, row["id"], "candidate") for row in candidates if _falls_in(row["id"], audit.candidates)]
    bases = [*(seeds if audit.seeds else []), *drawn]
    found = [_plant(row, GOOD, []) for row in bases if row["origin"] == "seed"]
    for row in bases:
        base = _Base(row, [other for other in (*seeds, *drawn) if other["task"] == row["task"]])
        for kind, broken in load_rules(row["task"]).plants.items():
            if kind not in KINDS:
                raise BadInput(f"task {row['task']}: plants: no kind {kind!r}; known: {', '.join(KINDS)}")
            if (changed := KINDS[kind](base)) is not None:
                found.append(_plant({**row, **changed}, kind, broken))
    return found


def mutated_code(base: _Base) -> Row | None:
    """The solution with a bug in one line."""
    found = bugs.draw(base.row["solution"], base.row["target_language"], base.row["of"], any_line=True)
    return {"solution": found[0].code} if found else None


def swapped_solution(base: _Base) -> Row | None:
    """Another instance's solution, in the same language if possible."""
    language = base.row["target_language"]
    others = [row for row in base.others if row["solution"] != base.row["solution"]]
    others = [row for row in others if row["target_language"] == language] or others
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


def _instance(row: Mapping[str, Any], of: str, origin: str) -> Row:
    keys = ("task", "language", "target_language", "instruction", "information", "solution")
    return {"of": of, "origin": origin, **{key: row[key] for key in keys}}


def _plant(row: Row, kind: str, breaks: list[str]) -> Row:
    return {"id": digest({"plant": kind, **row}), "kind": kind, "breaks": breaks, **row}


def _falls_in(row_id: str, share: float) -> bool:
    return int(digest({"audit": row_id})[:8], 16) < share * 2**32


@cache
def _data() -> dict[str, Any]:
    return params.read(Path(__file__).with_name("mutations.yaml"))
