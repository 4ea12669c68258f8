"""Rows that another tool wrote, as candidates: the file, its columns, and what a row says of its task and language.

A row has the forms of dataset/rows.py and may have the keys `task`, `language`, `target_language` (of a translation),
`tests`, `code` (the raw code it was made from) and `license`. A solution that is code is taken out of its fence, whose
word names the language of a row that does not.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from stages.lib import artifacts, params, sandbox
from stages.lib.corpus import functions
from stages.lib.dataset import rows
from stages.lib.errors import BadInput
from stages.lib.judging import answers
from stages.lib.methods import brought_tests
from stages.lib.models import prompts
from stages.lib.records import Row
from stages.lib.tasks.checks import named_language
from stages.lib.tasks.definitions import Task, TaskName, load_task, load_tasks
from stages.lib.teacher import Answer

KEY = "generate.foreign"
Name = Literal[
    "instruction", "input", "output", "messages", "task", "language", "target_language", "tests", "code", "license"
]
SHOWN = 5  # rows at most in a message


def _language(name: str) -> str:
    if name and not functions.tagged(name):
        raise ValueError(f"no language {name!r}; choose one of {', '.join(functions.languages())}")
    return functions.tagged(name)


class Foreign(params.Section):
    """A file of rows that another tool wrote. `license`, `language` and `task` are those of a row that names none;
    `columns`: the file's name for a key, where it is another. The result records the file's name and hash, not its
    path."""

    file: str = Field(exclude=True)
    license: str = ""
    language: Annotated[str, AfterValidator(_language)] = ""
    task: TaskName = "code generation"
    columns: dict[Name, str] = Field(default_factory=dict)

    @property
    def origin(self) -> dict[str, str]:
        """The file's name and sha256."""
        return {"file": Path(self.file).name, "sha256": artifacts.hash_file(Path(self.file))}


@dataclass(frozen=True)
class Entry:
    """A row of the file at `place` ("line 3"): the `candidate` without round and what it was made from, a row of
    `records.FUNCTION`; or the `fault` that keeps it from being one. `repeats`: it says what an earlier one says."""

    id: str
    place: str
    value: Any
    candidate: Row | None = None
    source: Row | None = None
    fault: str = ""
    repeats: bool = False

    @property
    def answer(self) -> Answer:
        """This as what came of a question: with a fault, it is a dead letter."""
        given = json.dumps(self.value, ensure_ascii=False, default=str)
        attempts = ({"request": "", "fault": f"{self.place}: {self.fault}", "response": given},) if self.fault else ()
        return Answer(self.id, None if self.fault else {}, "", self.fault, (), attempts)


class Fault(Exception):
    """What is wrong with a row."""


def parse(values: Any) -> Foreign:
    """generate.foreign of `values`, the section `generate`. Raises `BadInput`, naming the key."""
    return params.parse(values["foreign"], Foreign, Path(KEY))


def read(wish: Foreign, method_hash: str, most_dead: float) -> list[Entry]:
    """Every row of the file, in order.

    Raises `BadInput`, naming file and rows, for a file that cannot be read, a column that it does not have, tests in a
    language that this machine cannot run, and if more than the share `most_dead` of the rows have a fault.
    """
    file, origin = Path(wish.file), wish.origin if Path(wish.file).is_file() else {}
    found = rows.entries(file, f"{KEY}.file")
    _check_columns(wish, [value for _, value in found])
    seen: set[str] = set()
    entries = []
    for place, value in found:
        entry = _entry(place, value, wish, origin, method_hash)
        entries.append(entry if entry.id not in seen else Entry(_placed(origin, place), place, value, repeats=True))
        seen.add(entry.id)
    _check_share(wish, entries, most_dead)
    _check_sandbox(wish, entries)
    return entries


def faults(entries: Sequence[Entry]) -> list[str]:
    """The faulty rows with their faults, in order."""
    return [f"{one.place}: {one.fault}" for one in entries if one.fault]


def listed(faults: Sequence[str]) -> str:
    """The first of `faults`, and how many more there are."""
    more = f"; and {len(faults) - SHOWN:,} more" if len(faults) > SHOWN else ""
    return "; ".join(faults[:SHOWN]) + more


def _check_columns(wish: Foreign, values: Sequence[Any]) -> None:
    held = dict.fromkeys(name for value in values if isinstance(value, dict) for name in value)
    for key, name in wish.columns.items():
        if name not in held:
            raise BadInput(f"{KEY}.columns: {key}: no row of {wish.file} has {name!r}; they have {', '.join(held)}")


def _check_share(wish: Foreign, entries: Sequence[Entry], most_dead: float) -> None:
    bad = faults(entries)
    if len(bad) == len(entries) or len(bad) > most_dead * len(entries):
        raise BadInput(
            f"{KEY}.file: {len(bad):,} of {len(entries):,} rows of {wish.file} cannot be used, more than "
            f"generate.max_dead_share = {most_dead:g}: {listed(bad)}. Mend them, or say in {KEY} what they leave out"
        )


def _check_sandbox(wish: Foreign, entries: Sequence[Entry]) -> None:
    for one in entries:
        language = one.candidate["target_language"] if one.candidate and one.candidate["tests"] else ""
        if language and (why := sandbox.missing(brought_tests.word(language))):
            raise BadInput(f"{KEY}.file: {wish.file} {one.place}: tests: {language} cannot be run here: {why}")


def _entry(place: str, value: Any, wish: Foreign, origin: Mapping[str, str], method_hash: str) -> Entry:
    try:
        said = _said(value, wish)
    except Fault as fault:
        return Entry(_placed(origin, place), place, value, fault=str(fault))
    identity = artifacts.digest({"foreign": said})
    code, license = said.pop("code"), said.pop("license")
    source = {
        "id": identity,
        "language": said["language"],
        "name": "",
        "code": code,
        "docstring": "",
        "source": f"foreign {origin['file']}@{origin['sha256']}",
        "path": f"{origin['file']} {place}",
        "line": int(place.split()[1]),
        "license": license,
        "imports": "",
    }
    written = {key: said[key] for key in ("instruction", "information", "solution")}
    lineage = {"function": identity, "task": said["task"], "target": said["target_language"]}
    candidate = {
        "id": artifacts.digest({**lineage, "method": method_hash}),
        "function_id": identity,
        **said,
        "task_name": said["task"],
        "answer": json.dumps(written, ensure_ascii=False),
        "examples": [],
        "request": "",
        "style": "",
    }
    return Entry(identity, place, value, candidate, source)


def _placed(origin: Mapping[str, str], place: str) -> str:
    """An id for a row that becomes no candidate."""
    return artifacts.digest({**origin, "place": place})


def _said(value: Any, wish: Foreign) -> Row:
    """What the row `value` says: task, languages, instruction, information, solution, tests, code and license. Raises
    `Fault`."""
    if not isinstance(value, dict):
        raise Fault(f"it is no object but {value!r:.60}")
    named = {**value, **{key: value.get(name) for key, name in wish.columns.items()}}
    if named.get("messages") is None or {"instruction", "output"} & wish.columns.keys():
        named.pop("messages", None)
    try:
        row = prompts.fold(rows.to_row(named, "it"))
    except BadInput as error:
        raise Fault(str(error)) from None
    if "history" in row:
        raise Fault("messages: it has earlier turns, which a judge of one question and answer does not see")
    task = _task(_text(named, "task") or wish.task)
    fenced, solution = answers.block_of(row["output"], brought_tests.called(named.get("tests")))
    instruction, outer, information = row["instruction"], "", row["input"]
    if task.takes_input:
        outer, information = answers.block_of(information or instruction)
        if not row["input"].strip():
            instruction, information = (
                answers.without_block(instruction),
                information if instruction != information else "",
            )
        if not information.strip():
            raise Fault(f"it has no text in 'input', and {task.name} needs some")
    if not task.solution_is_code:
        fenced, solution = "", row["output"]
    language, target = _languages(named, task, wish, row["instruction"], outer, fenced)
    solution = solution.strip("\n")
    try:
        tests = brought_tests.read(named.get("tests"), solution, task, target)
    except ValueError as fault:
        raise Fault(f"tests: {fault}") from None
    return {
        "task": task.name,
        "language": language,
        "target_language": target,
        "instruction": instruction.strip(),
        "information": information.strip("\n"),
        "solution": solution,
        "tests": tests,
        "code": _text(named, "code"),
        "license": _text(named, "license") or wish.license,
    }


def _text(named: Mapping[str, Any], key: str) -> str:
    value = named.get(key)
    if value is not None and not isinstance(value, str):
        raise Fault(f"{key} is no text but {value!r:.60}")
    return value or ""


def _task(name: str) -> Task:
    if name not in load_tasks():
        raise Fault(f"task: no task {name!r}; choose one of {', '.join(load_tasks())}")
    return load_task(name)


def _languages(
    named: Mapping[str, Any], task: Task, wish: Foreign, instruction: str, outer: str, fenced: str
) -> tuple[str, str]:
    """The languages of the input and of the output, by the row's keys, by the words after the fences of its input
    (`outer`) and output (`fenced`), by the parameter, or by the instruction's words."""
    own, translated = _known(named, "language"), bool(task.target_languages)
    words = [outer] if translated else [fenced, outer]
    language = (
        own or next((_tagged(word) for word in words if word), "") or wish.language or named_language(instruction)
    )
    if not language:
        raise Fault(f"language: none is named; give it a key, a fence with a word, or set {KEY}.language")
    if not translated:
        return language, language
    target = _known(named, "target_language") or (_tagged(fenced) if fenced else "")
    if not target:
        raise Fault("target_language: a translation needs one")
    return language, target


def _known(named: Mapping[str, Any], key: str) -> str:
    word = _text(named, key)
    return _tagged(word, key) if word else ""


def _tagged(word: str, key: str = "language") -> str:
    if not (language := functions.tagged(word)):
        raise Fault(f"{key}: {word!r} is none of {', '.join(functions.languages())}")
    return language
