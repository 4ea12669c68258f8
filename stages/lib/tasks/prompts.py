"""From a task and a function to chat messages and a JSON schema, and from an answer to the instance's keys."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from stages.lib.errors import BadInput
from stages.lib.tasks.catalog import FOLDER, Rule, Task
from stages.lib.tasks.pool import Case

SUMMARY = 200  # characters of documentation in a prompt
COMMENTS = ("#", "//", "/*", "*", "--")


def answer_schema(task: Task, code: str, language: str, target_language: str) -> dict[str, Any]:
    """The JSON schema of what the teacher writes for `code`, keys in the task's order."""
    names = {"language": _escape(language), "target_language": _escape(target_language)}
    return _object({key: _property(value, code, names) for key, value in task.writes.items()})


def code_lines(code: str) -> list[str]:
    """The lines of `code`, without indentation, that a bug can be planted in: those that do something, occur
    once, and are not the first."""
    lines = [line.strip() for line in code.splitlines()]
    return [
        line
        for line in lines[1:]
        if any(letter.isalnum() for letter in line) and not line.startswith(COMMENTS) and lines.count(line) == 1
    ]


def generation_messages(
    task: Task, code: str, docstring: str, language: str, target_language: str, examples: Sequence[Case]
) -> list[dict[str, str]]:
    """The teacher's prompt: good examples are turns of the conversation, bad ones lines of the task."""
    bad = [case for case in examples if not case.good]
    keys = list(task.writes)
    system = render(
        "generate_system.j2", definition=task.definition, requirements=task.requirements, keys=keys, bad=bad
    )
    messages = [{"role": "system", "content": system}]
    for case in examples:
        if case.good:
            messages.append(
                {
                    "role": "user",
                    "content": _question(task, case.code, case.docstring, case.language, case.target_language),
                }
            )
            messages.append({"role": "assistant", "content": json.dumps(case.answer, ensure_ascii=False)})
    messages.append({"role": "user", "content": _question(task, code, docstring, language, target_language)})
    return messages


def method_messages(
    folder: str, task: Task, code: str, language: str, given: Mapping[str, str], examples: Sequence[Case]
) -> list[dict[str, str]]:
    """The teacher's prompt by the templates system.j2 and user.j2 of the method's folder; examples are turns of the
    conversation."""

    def question(code: str, language: str, given: Mapping[str, str]) -> str:
        ask = _expand(task.ask, language=language)
        return render(f"{folder}/user.j2", code=code, language=language, ask=ask, **given)

    messages = [{"role": "system", "content": render(f"{folder}/system.j2", task=task)}]
    for case in examples:
        messages.append({"role": "user", "content": question(case.code, case.language, dict.fromkeys(given, ""))})
        messages.append({"role": "assistant", "content": json.dumps(case.answer, ensure_ascii=False)})
    return [*messages, {"role": "user", "content": question(code, language, given)}]


def summary(docstring: str) -> str:
    """The first sentence of the first paragraph, in a line of at most 200 characters; "" for none."""
    paragraph = " ".join(docstring.strip().split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.!?])\s", paragraph)[0]
    return sentence if len(sentence) <= SUMMARY else ""


def fill(task: Task, code: str, answer: Mapping[str, str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The paper's four output keys: what the teacher wrote, and what the task fills from the raw code and from what
    else its row is `given`."""
    values = {"code": code, **(given or {}), **answer}
    filled = {key: _expand(template, **values) for key, template in task.fills.items()}
    both = {**filled, **{key: value.strip("\n") for key, value in answer.items()}}
    keys = ("instruction", "information", "solution")
    return {"task_name": task.name, **{key: both.get(key, "") for key in keys}}


def judge_messages(task: Task, row: dict[str, Any], examples: int) -> list[dict[str, str]]:
    """The judge's prompt for an instance with the keys instruction, information and solution, after the
    first `examples` judged examples of the task."""
    messages = [{"role": "system", "content": render("judge_system.j2")}]
    for shown in task.judged[:examples]:
        messages.append({"role": "user", "content": _instance(task, shown.model_dump())})
        said = {rule: {"reason": ruling.reason, "verdict": ruling.verdict} for rule, ruling in shown.rulings.items()}
        messages.append({"role": "assistant", "content": json.dumps(said, ensure_ascii=False)})
    return [*messages, {"role": "user", "content": _instance(task, row)}]


def judge_schema(task: Task) -> dict[str, Any]:
    """The JSON schema of a judgement of an instance of `task`."""
    return ruling_schema(task.judge)


def ruling_messages(rules: Sequence[Rule], row: Mapping[str, Any]) -> list[dict[str, str]]:
    """A judge's prompt for an instance of no task, by `rules`, without examples."""
    return [
        {"role": "system", "content": render("judge_system.j2")},
        {"role": "user", "content": _ruled_on(rules, row)},
    ]


def ruling_schema(rules: Sequence[Rule]) -> dict[str, Any]:
    """The JSON schema of a judgement: for each rule, then overall, a reason and pass or fail."""
    reason = {"type": "string", "minLength": 10, "maxLength": 70}
    ruling = _object({"reason": reason, "verdict": {"type": "string", "enum": ["pass", "fail"]}})
    return _object(dict.fromkeys([*(rule.rule for rule in rules), "overall"], ruling))


def templates_hash() -> str:
    """The sha256, hex, over the templates."""
    content = b"".join(file.name.encode() + file.read_bytes() for file in sorted(FOLDER.glob("*.j2")))
    return hashlib.sha256(content).hexdigest()


def replace_line(code: str, line: str, other: str) -> str:
    """`code` with the line whose text is `line` replaced by `other`, its indentation kept."""
    lines = code.split("\n")
    for number, text in enumerate(lines):
        if text.strip() == line.strip():
            lines[number] = text[: len(text) - len(text.lstrip())] + other.strip()
            return "\n".join(lines)
    return code


def _property(value: dict[str, Any], code: str, names: dict[str, str]) -> dict[str, Any]:
    if "pattern" in value:
        return {**value, "pattern": _expand(value["pattern"], **names)}
    if value.get("enum_of") == "code_lines":
        return {"type": "string", "enum": code_lines(code)}
    return value


def _escape(name: str) -> str:
    """`name` in a pattern. re.escape would also escape "#", which llama.cpp does not understand."""
    return re.sub(r"[.^$*+?{}\[\]\\|()]", r"\\\g<0>", name)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _instance(task: Task, row: dict[str, Any]) -> str:
    return _ruled_on(task.judge, row)


def _ruled_on(rules: Sequence[Rule], row: Mapping[str, Any]) -> str:
    keys = ("instruction", "information", "solution")
    return render("judge_user.j2", rules=rules, **{key: row[key] for key in keys})


def _question(task: Task, code: str, docstring: str, language: str, target_language: str) -> str:
    ask = _expand(task.ask, language=language, target_language=target_language)
    return render("generate_user.j2", code=code, docstring=summary(docstring), language=language, ask=ask)


@cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), undefined=jinja2.StrictUndefined, keep_trailing_newline=False
    )
    environment.filters["replace_line"] = replace_line
    environment.filters["tojson"] = _to_json
    return environment


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def render(template: str, **values: Any) -> str:
    """The text of `template`, a file under this folder, with `values`. Raises `BadInput`, naming the file."""
    import jinja2

    try:
        return str(_environment().get_template(template).render(**values))
    except jinja2.TemplateError as error:
        raise BadInput(f"{FOLDER / template}: {error}") from None


def _expand(template: str, **values: Any) -> str:
    import jinja2

    try:
        return str(_environment().from_string(template).render(**values))
    except jinja2.TemplateError as error:
        raise BadInput(f"{template!r} (stages/lib/tasks/*.yaml): {error}") from None
