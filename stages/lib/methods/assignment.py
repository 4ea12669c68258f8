"""One function (or what a method uses instead) with its draws, as a question and then as a candidate."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from stages.lib.artifacts import digest
from stages.lib.methods.method import FOLDER, Method
from stages.lib.tasks import draws, prompts
from stages.lib.tasks.checks import Instance, run_checks
from stages.lib.tasks.definitions import Task, load_task
from stages.lib.tasks.pool import Case, draw_examples, texts_of


@dataclass(frozen=True)
class Wording:
    """How a prompt words its wish: `good` and `bad` examples, drawn for each row or, with `sets` above 0, one of so
    many sets for each, so that prompts begin alike; and whether each row has a style."""

    good: int
    bad: int
    sets: int = 0
    styles: bool = False


@dataclass(frozen=True)
class Assignment:
    """A function (a row of `records.FUNCTION`), its task, and its prompt's examples.

    `also` are pool cases that the prompt does not show as examples but that the answer must not repeat. `turn`: which
    of the bugs that a run shows is planted.
    """

    method: Method
    function: dict[str, Any]
    task: Task
    target_language: str
    examples: tuple[Case, ...]
    also: tuple[Case, ...] = ()
    style: str = ""
    turn: int = 0

    @classmethod
    def draw(
        cls,
        method: Method,
        function: dict[str, Any],
        pool: Sequence[Case],
        seed: int,
        mix: Mapping[str, float],
        wording: Wording,
        again: bool = False,
    ) -> Self:
        """Draw task, target language, style and examples for `function` by its id. A method with its own prompts has
        no styles, and shows only good examples, drawn for each row. `again`: another draw of the task."""
        row, language = function["id"], function["language"]
        if method.task is not None:
            also = (function["parent"],) if "parent" in function else ()
            shown = method.shown() if also else pool
            examples = draw_examples(shown, row, seed, method.task, language, wording.good, 0)
            return cls(method, function, method.apply_to(load_task(method.task)), language, examples, also)
        task = load_task(draws.draw_task(f"{row}:again" if again else row, seed, mix))
        target = draws.draw_target(row, seed, task.target_languages, language) if task.target_languages else language
        drawn_for, preferred = row, language
        if wording.sets:
            drawn_for, preferred = f"set {draws.draw_number(f'set:{seed}:{row}', wording.sets)}", ""
        examples = draw_examples(pool, drawn_for, seed, task.name, preferred, wording.good, wording.bad)
        if not wording.styles:
            return cls(method, function, task, target, examples)
        style = draws.draw_share(f"style:{seed}:{row}", dict.fromkeys(task.styles, 1.0)) if task.styles else ""
        return cls(method, function, task.in_style(style), target, examples, style=style)

    @classmethod
    def draw_each(
        cls,
        most: int,
        method: Method,
        function: dict[str, Any],
        pool: Sequence[Case],
        seed: int,
        mix: Mapping[str, float],
        wording: Wording,
    ) -> list[Self]:
        """At most `most` rows of `function`, each of another task of the mix; one if the method has a task of its own.
        The first is what `draw` draws."""
        rows: list[Self] = []
        while len(rows) < most:
            done = {row.task.name for row in rows}
            rest = {task: share for task, share in mix.items() if share and task not in done}
            if not rest or (rows and method.task is not None):
                break
            rows.append(cls.draw(method, function, pool, seed, rest if rows else mix, wording, again=bool(rows)))
        return rows

    @property
    def can_have_bug_planted(self) -> bool:
        """Whether the task wants a bug that the program can plant."""
        return self.method.plants or (self.method.task is None and self.task.planted is not None)

    @property
    def writes_solution(self) -> bool:
        """Whether the teacher writes the solution, and not the raw code is it."""
        return "solution" in self.task.writes

    def with_bug(self, bug: Mapping[str, str]) -> Self:
        """This with a bug planted in the code; `bug` has what the task shows of it. Where no teacher says what the
        function is for, its docstring does."""
        given = {**self.function.get("given", {}), **bug}
        if self.method.plants:
            given["purpose"] = prompts.purpose(self.function["docstring"])
        task = self.task if self.method.plants else self.task.with_bug_planted()
        return replace(self, function={**self.function, "given": given}, task=task)

    def messages(self, documentation: str) -> list[dict[str, str]]:
        """The teacher's prompt, with `documentation` of the function ("" for none)."""
        code, language = self.function["code"], self.function["language"]
        if self.method.task is not None:
            snippet, given = self.method.snippet(self.function["id"], code), self.function.get("given", {})
            return prompts.method_messages(
                FOLDER / self.method.name, self.task, snippet, language, given, self.examples
            )
        return prompts.generation_messages(
            self.task, code, documentation, language, self.target_language, self.style, self.examples, self._given
        )

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of what the teacher writes."""
        function = self.function
        return prompts.answer_schema(
            self.task, function["code"], function["language"], self.target_language, function["name"]
        )

    def objection(self, written: dict[str, Any]) -> str:
        """The first fault in `written` that the task wants named to the teacher, or ""."""
        row = {
            **prompts.fill(self.task, self.function["code"], written, self._given),
            "language": self.function["language"],
            "target_language": self.target_language,
        }
        instance = Instance.of(row, self.task.takes_input, texts_of(self._known))
        return next((fault for _, fault in run_checks(self.task.reask_on, instance) if fault), "")

    @property
    def _given(self) -> dict[str, str]:
        return {"language": self.function["language"], **self.function.get("given", {})}

    @property
    def _shown(self) -> dict[str, str]:
        """What the program wrote of the answer."""
        planted = self.task.planted
        if planted is None or self.task.writes is not planted.writes:
            return {}
        return {key: self._given[key] for key in planted.shows}

    @property
    def _known(self) -> tuple[Case, ...]:
        return (*self.examples, *self.also)

    def candidate(self, written: dict[str, Any], request: str, asked: str, number: int) -> dict[str, Any]:
        """The row of `records.CANDIDATE`, without tests, that a teacher wrote in answer to `request`.

        Its id covers what made it: the function, and all that the teacher was `asked`, the key of the first request;
        or, where no teacher is asked, the method and the turn.
        """
        lineage = {"function": self.function["id"], "task": self.task.name, "target": self.target_language}
        if self.turn:  # the first keeps the id that it had when there was but one
            lineage["turn"] = str(self.turn)
        return {
            "id": digest({**lineage, **({"asked": asked} if asked else {"method": self.method.hash})}),
            "round": number,
            "function_id": self.function["id"],
            "task": self.task.name,
            "language": self.function["language"],
            "target_language": self.target_language,
            **prompts.fill(self.task, self.function["code"], written, self._given),
            "answer": json.dumps({**self._shown, **written}, ensure_ascii=False),
            "examples": [case.id for case in self._known],
            "request": request,
            "tests": [],
            "style": self.style,
        }
