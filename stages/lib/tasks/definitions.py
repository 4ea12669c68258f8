"""Task definitions: one YAML file each in definitions/, read into a typed model (docs/extending.md)."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field

from stages.lib import params
from stages.lib.errors import BadInput
from stages.lib.tasks.checks import CHECKS

FOLDER = Path(__file__).parent / "definitions"


class Seed(params.Section):
    """A handwritten example of what the teacher should (good) or should not (bad, with the reason) write."""

    language: str
    target_language: str = ""
    code: str
    docstring: str = ""
    style: str = ""
    answer: dict[str, str]
    reason: str = ""


class Seeds(params.Section):
    """The seed examples of a task, the pool of the first round."""

    good: list[Seed]
    bad: list[Seed]


class Planted(params.Section):
    """The question of a task whose bug was planted before the teacher is asked: these keys replace the
    task's own. The program fills in `shows`, so that the teacher only writes the rest of an answer."""

    shows: list[str]
    definition: str
    requirements: list[str]
    ask: str
    writes: dict[str, dict[str, Any]]
    reask_on: list[str] = Field(default_factory=list)
    fills: dict[str, str] = Field(default_factory=dict)


class Style(params.Section):
    """A way to word an instance: what the teacher is told, and its own schema of some of the keys in `writes`."""

    ask: str
    writes: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Task(params.Section):
    """A task. `writes` is the JSON schema of each key that the teacher writes, in its order; `fills` is a
    Jinja template for each further key of the instance, from the raw code and what the teacher wrote.
    `reask_on` are the checks whose fault is named to the teacher at once. What is checked and judged of the answer
    is in stages/lib/judging/rules.
    `styles` are ways to word an instance, by name; with `generate.styles` each row is asked for one of them.

    Tests are written for a solution that is code, and must fail an information that is that code with a bug."""

    name: str
    definition: str
    requirements: list[str]
    ask: str
    target_languages: list[str] = Field(default_factory=list)
    writes: dict[str, dict[str, Any]]
    styles: dict[str, Style] = Field(default_factory=dict)
    reask_on: list[str] = Field(default_factory=list)
    fills: dict[str, str]
    solution_is_code: bool = True
    information_is_broken: bool = False
    planted: Planted | None = None
    seeds: Seeds

    @property
    def takes_input(self) -> bool:
        """Whether this task's instances have an information (an input)."""
        return "information" in self.writes or bool(self.fills.get("information"))

    def with_bug_planted(self) -> Self:
        """The task as it is asked where the program has planted the bug."""
        assert self.planted is not None
        own = ("definition", "requirements", "ask", "writes", "reask_on")
        fills = {**self.fills, **self.planted.fills}
        return self.model_copy(update={**{key: getattr(self.planted, key) for key in own}, "fills": fills})

    def in_style(self, name: str) -> Self:
        """This task with the schema of the style `name`; as it is for ""."""
        return self.model_copy(update={"writes": {**self.writes, **self.styles[name].writes}}) if name else self


@cache
def load_tasks(folder: Path = FOLDER) -> dict[str, Task]:
    """Every task by name, in file name order. Raises `BadInput`, naming file and key."""
    tasks = [_read(file) for file in sorted(folder.glob("*.yaml"))]
    return {task.name: task for task in tasks}


def load_task(name: str) -> Task:
    """The task `name`. Raises `BadInput` if there is none."""
    tasks = load_tasks()
    if name not in tasks:
        raise BadInput(f"no task {name!r}; choose one of {', '.join(tasks)} ({FOLDER}/*.yaml)")
    return tasks[name]


def _known(name: str) -> str:
    if name not in load_tasks():
        raise ValueError(f"no task {name!r}; choose one of {', '.join(load_tasks())}")
    return name


TaskName = Annotated[str, AfterValidator(_known)]  # for keys of params.yaml


def _read(file: Path) -> Task:
    task = params.parse(params.read(file), Task, file)
    reask_on = [*task.reask_on, *(task.planted.reask_on if task.planted else [])]
    if unknown := [check for check in reask_on if check not in CHECKS]:
        raise BadInput(f"{file}: reask_on: no check {unknown[0]!r}; known: {', '.join(CHECKS)}")
    for seed in task.seeds.good + task.seeds.bad:
        shown = [*task.planted.shows, *task.planted.writes] if task.planted else []
        if [key for key in seed.answer if key in task.writes or key not in shown] != list(task.writes):
            raise BadInput(
                f"{file}: seeds: an answer has the keys {list(seed.answer)}, but `writes` has {list(task.writes)}"
            )
    return task
