"""What is checked and judged on a task's instances: one YAML file per task, as in stages/lib/tasks/definitions."""

from functools import cache
from pathlib import Path
from typing import Literal

from stages.lib import params
from stages.lib.errors import BadInput
from stages.lib.tasks.checks import CHECKS
from stages.lib.tasks.definitions import FOLDER as TASKS
from stages.lib.tasks.definitions import load_tasks

FOLDER = Path(__file__).parent / "rules"
RIGHT = "is_right"  # the rule that a task's `question` is


class Rule(params.Section):
    """A question that the judge answers with a reason and pass or fail."""

    rule: str
    ask: str


class Ruling(params.Section):
    """What the judge should say to one rule: a reason, then pass or fail."""

    reason: str
    verdict: Literal["pass", "fail"]


class Judged(params.Section):
    """An instance with the judge's ideal answer: a reason and pass or fail for each rule."""

    instruction: str
    information: str = ""
    solution: str
    rulings: dict[str, Ruling]

    @property
    def is_right(self) -> bool:
        """Whether it passes every rule."""
        return all(ruling.verdict == "pass" for ruling in self.rulings.values())


class Rules(params.Section):
    """The rules of `task`: `checks` by name (stages/lib/tasks/checks.py), which need no model; the rules that the
    `judge` is asked about, and instances that it is shown with what it should say (`judged`). `plants` are the ways in
    which its audit spoils an instance (audit.py), each with the rules that should then fail. `question` is all of the
    judge's rules in one, for a yes or no."""

    task: str
    checks: list[str]
    plants: dict[str, list[str]]
    judge: list[Rule]
    judged: list[Judged]
    question: str


def load_rules(task: str) -> Rules:
    """The rules of `task`. Raises `BadInput`, naming file and key, if one file is wrong or a task has none."""
    return load_all()[task]


@cache
def load_all(folder: Path = FOLDER) -> dict[str, Rules]:
    """The rules of every task, by its name. Raises `BadInput`, naming file and key."""
    found = {rules.task: rules for rules in map(_read, sorted(folder.glob("*.yaml")))}
    if strange := sorted(found.keys() ^ load_tasks().keys()):
        raise BadInput(f"task {strange[0]!r} needs a file in {TASKS} and one in {folder}; one is missing")
    return found


def _read(file: Path) -> Rules:
    found = params.parse(params.read(file), Rules, file)
    if unknown := [check for check in found.checks if check not in CHECKS]:
        raise BadInput(f"{file}: checks: no check {unknown[0]!r}; known: {', '.join(CHECKS)}")
    rules = [rule.rule for rule in found.judge]
    if wrong := [list(shown.rulings) for shown in found.judged if list(shown.rulings) != rules]:
        raise BadInput(f"{file}: judged: the rulings are {wrong[0]}, but the rules are {rules}")
    for kind, broken in found.plants.items():
        if strange := [rule for rule in broken if rule not in {*rules, *found.checks}]:
            known = ", ".join([*found.checks, *rules])
            raise BadInput(f"{file}: plants.{kind}: no rule {strange[0]!r}; known: {known}")
    return found
