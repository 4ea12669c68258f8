"""A round's example pool: good and bad cases that prompts may show, frozen and hashed."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.lib import records
from stages.lib.artifacts import digest
from stages.lib.tasks.definitions import Seed, load_tasks
from stages.lib.tasks.draws import rendezvous


@dataclass(frozen=True)
class Case:
    """An answer judged good, or bad for `reason`; `origin` is "seed" or "round R"."""

    id: str
    task: str
    good: bool
    language: str
    target_language: str
    code: str
    docstring: str
    answer: dict[str, str]
    reason: str
    origin: str
    style: str = ""

    @property
    def length(self) -> int:
        """Characters of code and answer."""
        return len(self.code) + sum(map(len, self.answer.values()))


def seed_cases(styled: bool | None = None) -> list[Case]:
    """The seed examples of every task: all of them, or of the good ones those with a style, or those without. A task
    without styles has no others."""
    return [
        _from_seed(task.name, seed, good)
        for task in load_tasks().values()
        for good, group in ((True, task.seeds.good), (False, task.seeds.bad))
        for seed in group
        if styled is None or not (good and task.styles) or bool(seed.style) == styled
    ]


def from_verdicts(rows: Iterable[dict[str, Any]], functions: Mapping[str, dict[str, Any]]) -> list[Case]:
    """A case for each row of `records.VERDICT`; `functions` are rows of `records.FUNCTION` by id. A row not made from a
    function has no code, and one that the program wrote is no example of what a teacher is to write."""
    nothing = {"code": "", "docstring": ""}
    return [
        Case(
            id=row["id"],
            task=row["task"],
            good=row["passed"],
            language=row["language"],
            target_language=row["target_language"],
            code=functions.get(row["function_id"], nothing)["code"],
            docstring=functions.get(row["function_id"], nothing)["docstring"],
            answer=json.loads(row["answer"]),
            reason=next((ruling["reason"] for ruling in row["rulings"] if not ruling["passed"]), ""),
            origin=f"round {row['round']}",
            style=row["style"],
        )
        for row in rows
        if row["request"]
    ]


def frozen(cases: Iterable[Case], each: int, most_characters: int, styled: bool) -> tuple[list[Case], str]:
    """The pool and its hash: per task, `each` good and `each` bad cases of at most `most_characters` of code and
    answer, chosen by the hash of their ids and topped up with seeds, `styled` or not."""
    groups: dict[tuple[str, bool], dict[str, Case]] = defaultdict(dict)
    for case in cases:
        if case.length <= most_characters:
            groups[case.task, case.good][case.id] = case
    pool: list[Case] = []
    for task in load_tasks():
        for good in (True, False):
            chosen = rendezvous("pool", 0, groups[task, good], each)
            spare = {case.id: case for case in seed_cases(styled) if (case.task, case.good) == (task, good)}
            top_up = [case for id, case in spare.items() if id not in groups[task, good]]
            pool += chosen + top_up[: each - len(chosen)]
    return pool, digest([asdict(case) for case in pool])


def read_pool(file: Path) -> dict[str, Case]:
    """The pool that generate froze in `file`, by id."""
    return {row["id"]: Case(**row) for row in records.read_lines(file)}


def draw_examples(
    pool: Iterable[Case], row: str, seed: int, task: str, language: str, good: int, bad: int
) -> tuple[Case, ...]:
    """`good` and `bad` cases of `task` for the row, drawn by its id, preferring its language ("": none)."""
    examples: list[Case] = []
    for wanted, count in ((True, good), (False, bad)):
        own = {case.id: case for case in pool if (case.task, case.good) == (task, wanted)}
        drawn = rendezvous(row, seed, own, len(own))
        examples += sorted(drawn, key=lambda case: language not in ("", case.language))[:count]
    return tuple(examples)


def texts_of(cases: Iterable[Case]) -> tuple[str, ...]:
    """The instructions and solutions shown by a prompt with these cases."""
    return tuple(text for case in cases for key, text in case.answer.items() if key in ("instruction", "solution"))


def _from_seed(task: str, seed: Seed, good: bool) -> Case:
    content = {"task": task, "good": good, **seed.model_dump()}
    return Case(
        id=digest(content),
        task=task,
        good=good,
        language=seed.language,
        target_language=seed.target_language or seed.language,
        code=seed.code,
        docstring=seed.docstring,
        answer=seed.answer,
        reason=seed.reason,
        origin="seed",
        style=seed.style,
    )
