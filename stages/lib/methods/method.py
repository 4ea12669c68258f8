"""A method's definition: method.yaml of its folder, read into a typed model."""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.lib import params
from stages.lib.errors import BadInput
from stages.lib.evolution.evolutions import Example, load_examples
from stages.lib.tasks.definitions import Task, load_task
from stages.lib.tasks.draws import draw_number
from stages.lib.tasks.pool import Case

FOLDER = Path(__file__).parent


class Method(params.Section):
    """A method. `made_from` is what a row starts from; `task` the task of all its rows, null if generate.mix draws it
    or the rows say it.
    A task's keys given here (`definition` to `reask_on`) replace the task's own; `seeds` are its prompts' examples.
    `writes` is empty if no teacher is asked; `plants`: the program plants the bug that the row is about.
    """

    name: str
    source: str
    made_from: Literal["functions", "seeds", "commits", "cases", "rows"]
    task: str | None
    definition: str = ""
    requirements: list[str] = Field(default_factory=list)
    ask: str = ""
    writes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    reask_on: list[str] = Field(default_factory=list)
    fills: dict[str, str] = Field(default_factory=dict)
    languages: dict[str, float] = Field(default_factory=dict)
    snippet_lines: int | None = Field(default=None, gt=0)
    evolutions: list[str] = Field(default_factory=list)
    plants: bool = False
    seeds: list[Example] = Field(default_factory=list)

    @property
    def asks(self) -> bool:
        """Whether a teacher writes anything."""
        return self.made_from != "rows" and (self.task is None or bool(self.writes))

    @property
    def hash(self) -> str:
        """The sha256, hex, over the files of its folder."""
        content = b"".join(file.name.encode() + file.read_bytes() for file in sorted((FOLDER / self.name).iterdir()))
        return hashlib.sha256(content).hexdigest()

    def apply_to(self, task: Task) -> Task:
        """`task` with its texts and rules replaced by this method's."""
        own = ("definition", "requirements", "ask", "writes", "reask_on", "fills")
        return task if self.task is None else task.model_copy(update={key: getattr(self, key) for key in own})

    def snippet(self, row: str, code: str) -> str:
        """The part of `code` that the prompt shows: at most `snippet_lines` consecutive lines, drawn by the row's
        id."""
        lines = code.splitlines()
        if self.snippet_lines is None or not lines:
            return code
        count = 1 + draw_number(f"lines:{row}", min(self.snippet_lines, len(lines)))
        first = draw_number(f"first:{row}", len(lines) - count + 1)
        return "\n".join(lines[first : first + count])

    def shown(self) -> list[Case]:
        """The seeds as cases of an example pool."""
        return [seed.case(self.name, self.task or "") for seed in self.seeds]


def asks_teacher(generate: Mapping[str, Any]) -> bool:
    """Whether anything is asked of the teacher under the parameters `generate`: a row, or its tests."""
    tests = generate["tests"]
    return load_method(generate["method"]).asks or bool(tests["languages"] and tests["from"] == "teacher")


def known(name: str) -> str:
    """`name`. Raises `BadInput` if no method has it."""
    load_method(name)
    return name


@cache
def load_method(name: str, folder: Path = FOLDER) -> Method:
    """The method `name`. Raises `BadInput` if there is none, or, naming file and key, if its file is not right."""
    known = sorted(file.parent.name for file in folder.glob("*/method.yaml"))
    if name not in known:
        raise BadInput(f"generate.method: no method {name!r}; choose one of {', '.join(known)}")
    file = folder / name / "method.yaml"
    method = params.parse(params.read(file), Method, file)
    if method.made_from == "cases":  # as `make evolve` shows them
        method = method.model_copy(update={"seeds": load_examples()})
    if method.task is not None:
        load_task(method.task)
    for seed in method.seeds:
        if list(seed.answer) != list(method.writes):
            raise BadInput(
                f"{file}: seeds: an answer has the keys {list(seed.answer)}, but `writes` has {list(method.writes)}"
            )
    return method
