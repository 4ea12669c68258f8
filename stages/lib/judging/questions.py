"""What a judge is asked about an instance: chat messages, and the JSON schema of its answer."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.lib import templates
from stages.lib.judging.rules import Judged, Rule, Rules
from stages.lib.tasks.prompts import object_schema

FOLDER = Path(__file__).parent
YES, NO = "Yes", "No"


def judge_messages(rules: Rules, row: Mapping[str, Any], examples: int) -> list[dict[str, str]]:
    """The judge's prompt for an instance with the keys instruction, information and solution, after the
    first `examples` judged examples of its task."""
    system = templates.prompt(FOLDER / "system.j2", rules=rules.judge)
    turns = [(_instance(shown.model_dump()), _ideal(shown)) for shown in rules.judged[:examples]]
    return templates.conversation(system, turns, _instance(row))


def doubt_messages(rules: Rules, row: Mapping[str, Any], examples: int) -> list[dict[str, str]]:
    """As `judge_messages`, for the task's one question, whose answer is the first word: yes or no."""

    def asked(one: Mapping[str, Any]) -> str:
        return f"{_instance(one)}\n{rules.question}"

    turns = [(asked(shown.model_dump()), YES if shown.is_right else NO) for shown in rules.judged[:examples]]
    return templates.conversation(templates.prompt(FOLDER / "doubt.j2"), turns, asked(row))


def judge_schema(rules: Rules) -> dict[str, Any]:
    """The JSON schema of a judgement by `rules`."""
    return ruling_schema(rules.judge)


def ruling_messages(rules: Sequence[Rule], row: Mapping[str, Any]) -> list[dict[str, str]]:
    """A judge's prompt for an instance of no task, by `rules`, without examples."""
    return templates.conversation(templates.prompt(FOLDER / "system.j2", rules=rules), [], _instance(row))


def ruling_schema(rules: Sequence[Rule]) -> dict[str, Any]:
    """The JSON schema of a judgement: for each rule a reason and pass or fail."""
    reason = {"type": "string", "minLength": 10, "maxLength": 90}
    ruling = object_schema({"reason": reason, "verdict": {"type": "string", "enum": ["pass", "fail"]}})
    return object_schema(dict.fromkeys((rule.rule for rule in rules), ruling))


def _ideal(shown: Judged) -> str:
    """What a judge should say of `shown`, rule by rule."""
    said = {rule: {"reason": ruling.reason, "verdict": ruling.verdict} for rule, ruling in shown.rulings.items()}
    return json.dumps(said, ensure_ascii=False)


def _instance(row: Mapping[str, Any]) -> str:
    keys = ("instruction", "information", "solution")
    return templates.prompt(FOLDER / "user.j2", **{key: row[key] for key in keys})
