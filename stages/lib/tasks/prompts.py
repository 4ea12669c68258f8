"""From a task and a function to chat messages and a JSON schema, and from an answer to the instance's keys."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.lib import templates
from stages.lib.tasks.definitions import Task
from stages.lib.tasks.pool import Case

FOLDER = Path(__file__).parent
SUMMARY = 200  # characters of a docstring's first sentence, at most
SHOWN = 300  # characters of documentation in a prompt
MARKUP = re.compile(r":[\w:]+:`~?([^`]*)`|\{@\w+ ([^}]*)\}")
EXAMPLES = re.compile(r">>>|\n\s*(?:Examples?|References?|See [Aa]lso|Notes?)\b|```|@example")
# What begins a tag as JSDoc, Javadoc, PHPDoc (`@param`, `{@inheritDoc}`) and Sphinx (`:param x:`) write them.
_TAG = re.compile(r"^\s*(?:\{?@\w+|:\w+[^:\n]*:)", re.MULTILINE)
_MARKDOWN = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)|(?<!\w)\*\*(\w[^*]*)\*\*(?!\w)")  # links and bold text
_XML = re.compile(r"</?(?:summary|para|c)>")  # C#'s
COMMENTS = ("#", "//", "/*", "*", "--")


def answer_schema(task: Task, code: str, language: str, target_language: str, name: str = "") -> dict[str, Any]:
    """The JSON schema of the teacher's answer for `code`, a function called `name`, with keys in the task's order."""
    names = {"language": _escape(language), "target_language": _escape(target_language), "name": _escape(name)}
    return object_schema({key: _property(value, code, names) for key, value in task.writes.items()})


def code_lines(code: str) -> list[str]:
    """The lines of `code`, unindented, in which a bug can be planted: they do something, occur once, and are not the
    first."""
    lines = [line.strip() for line in code.splitlines()]
    return [
        line
        for line in lines[1:]
        if any(letter.isalnum() for letter in line) and not line.startswith(COMMENTS) and lines.count(line) == 1
    ]


def generation_messages(
    task: Task,
    code: str,
    docstring: str,
    language: str,
    target_language: str,
    style: str,
    examples: Sequence[Case],
    given: Mapping[str, str] | None = None,
) -> list[dict[str, str]]:
    """The teacher's prompt: good examples are turns of the conversation, bad ones lines of the task. `given` is what
    the task's `ask` shows of this row."""

    def written(case: Case) -> dict[str, str]:
        return {key: case.answer.get(key, "") for key in task.writes}

    bad = [{"answer": written(case), "reason": case.reason} for case in examples if not case.good]
    keys = list(task.writes)
    system = templates.prompt(
        FOLDER / "generate_system.j2", definition=task.definition, requirements=task.requirements, keys=keys, bad=bad
    )
    turns = [
        (
            _question(
                task,
                case.code,
                case.docstring,
                case.language,
                case.target_language,
                case.style if style else "",
                case.answer,
            ),
            json.dumps(written(case), ensure_ascii=False),
        )
        for case in examples
        if case.good
    ]
    question = _question(task, code, docstring, language, target_language, style, given or {})
    return templates.conversation(system, turns, question)


def method_messages(
    folder: Path, task: Task, code: str, language: str, given: Mapping[str, str], examples: Sequence[Case]
) -> list[dict[str, str]]:
    """The teacher's prompt from system.j2 and user.j2 in the method's folder; examples are turns of the
    conversation."""

    def question(code: str, language: str, given: Mapping[str, str]) -> str:
        ask = templates.expand(task.ask, language=language)
        return templates.prompt(folder / "user.j2", code=code, language=language, ask=ask, **given)

    turns = [
        (
            question(case.code, case.language, dict.fromkeys(given, "")),
            json.dumps(case.answer, ensure_ascii=False),
        )
        for case in examples
    ]
    system = templates.prompt(folder / "system.j2", task=task)
    return templates.conversation(system, turns, question(code, language, given))


def summary(docstring: str) -> str:
    """The first sentence of the first paragraph on one line of at most 200 characters; "" if there is none.

    A paragraph ends at the first tag, such as `@param`: tags alone don't say what a function does.
    """
    text = _TAG.split(_XML.sub("", docstring).strip())[0]
    paragraph = " ".join(text.split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.!?])\s", paragraph)[0]
    return sentence if len(sentence) <= SUMMARY else ""


def purpose(docstring: str) -> str:
    """The first sentence as an instruction quotes it: without markup, and ended by a full stop; "" if there is none, or
    but a heading or an editor's mark, such as #region."""
    text = _MARKDOWN.sub(r"\1\2", _MARKDOWN.sub(r"\1\2", summary(docstring)))  # a link may be bold
    text = MARKUP.sub(r"\1\2", text).replace("`", "").rstrip(" ,;:")
    if text.startswith("#"):
        return ""
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def documentation(docstring: str) -> str:
    """What a prompt shows of a docstring: what comes before its examples, without markup, on one line of at most 300
    characters, cut after a whole sentence or else a word."""
    text = MARKUP.sub(r"\1\2", EXAMPLES.split(docstring)[0]).replace("`", "")
    text = " ".join(text.split())
    if len(text) <= SHOWN:
        return text
    text = text[:SHOWN]
    end = max(text.rfind(mark) for mark in (". ", "! ", "? ")) + 1
    return text[:end] if end > 1 else text.rpartition(" ")[0]


def fill(task: Task, code: str, answer: Mapping[str, str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The paper's four output keys: what the teacher wrote, and what the task fills in from the raw code and the row's
    `given` values."""
    values = {"code": code, **(given or {}), **answer}
    filled = {key: templates.expand(template, **values) for key, template in task.fills.items()}
    both = {**filled, **{key: value.strip("\n") for key, value in answer.items()}}
    keys = ("instruction", "information", "solution")
    return {"task_name": task.name, **{key: both.get(key, "") for key in keys}}


def _property(value: dict[str, Any], code: str, names: dict[str, str]) -> dict[str, Any]:
    if "pattern" in value:
        return {**value, "pattern": templates.expand(value["pattern"], **names)}
    if value.get("enum_of") == "code_lines":
        return {"type": "string", "enum": code_lines(code)}
    return value


def _escape(name: str) -> str:
    """`name` in a pattern. re.escape would also escape "#", which llama.cpp does not understand."""
    return re.sub(r"[.^$*+?{}\[\]\\|()]", r"\\\g<0>", name)


def object_schema(properties: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object with just these `properties`."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _question(
    task: Task,
    code: str,
    docstring: str,
    language: str,
    target_language: str,
    style: str,
    given: Mapping[str, str],
) -> str:
    names = {"language": language, "target_language": target_language}
    shown = {key: given.get(key, "") for key in (task.planted.shows if task.planted else [])}
    wish = templates.expand(task.styles[style].ask, **names) if style in task.styles else ""
    return templates.prompt(
        FOLDER / "generate_user.j2",
        code=code,
        docstring=documentation(docstring),
        language=language,
        ask=templates.expand(task.ask, **names, **shown),
        style=wish,
    )
