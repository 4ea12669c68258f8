"""What a judge is asked about an instance: chat messages, and the JSON schema of its answer."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.lib import templates
from stages.lib.judging.rules import Rule, Rules
from stages.lib.tasks.prompts import object_schema

FOLDER = Path(__file__).parent
YES, NO = "Yes", "No"


def judge_messages(rules: Rules, row: Mapping[str, Any], examples: int) -> list[dict[str, str]]:
    """The judge's prompt for an instance with the keys instruction, information and solution, after the
    first `examples` judged examples of its task."""
    messages = [{"role": "system", "content": templates.prompt(FOLDER / "system.j2", rules=rules.judge)}]
    for shown in rules.judged[:examples]:
        messages.append({"role": "user", "content": _instance(shown.model_dump())})
        said = {rule: {"reason": ruling.reason, "verdict": ruling.verdict} for rule, ruling in shown.rulings.items()}
        messages.append({"role": "assistant", "content": json.dumps(said, ensure_ascii=False)})
    return [*messages, {"role": "user", "content": _instance(row)}]


def doubt_messages(rules: Rules, row: Mapping[str, Any], examples: int) -> list[dict[str, str]]:
    """As `judge_messages`, for the task's one question, whose answer is the first word: yes or no."""
    messages = [{"role": "system", "content": templates.prompt(FOLDER / "doubt.j2")}]
    for shown in rules.judged[:examples]:
        messages.append({"role": "user", "content": f"{_instance(shown.model_dump())}\n{rules.question}"})
        messages.append({"role": "assistant", "content": YES if shown.is_right else NO})
    return [*messages, {"role": "user", "content": f"{_instance(row)}\n{rules.question}"}]


def judge_schema(rules: Rules) -> dict[str, Any]:
    """The JSON schema of a judgement by `rules`."""
    return ruling_schema(rules.judge)


def ruling_messages(rules: Sequence[Rule], row: Mapping[str, Any]) -> list[dict[str, str]]:
    """A judge's prompt for an instance of no task, by `rules`, without examples."""
    return [
        {"role": "system", "content": templates.prompt(FOLDER / "system.j2", rules=rules)},
        {"role": "user", "content": _instance(row)},
    ]


def ruling_schema(rules: Sequence[Rule]) -> dict[str, Any]:
    """The JSON schema of a judgement: for each rule a reason and pass or fail."""
    reason = {"type": "string", "minLength": 10, "maxLength": 90}
    ruling = object_schema({"reason": reason, "verdict": {"type": "string", "enum": ["pass", "fail"]}})
    return object_schema(dict.fromkeys((rule.rule for rule in rules), ruling))


def _instance(row: Mapping[str, Any]) -> str:
    keys = ("instruction", "information", "solution")
    return templates.prompt(FOLDER / "user.j2", **{key: row[key] for key in keys})
