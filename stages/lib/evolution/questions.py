"""The three questions of a round: evolve an instruction, answer it, judge the two."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.lib import artifacts, teacher, templates
from stages.lib.corpus import functions
from stages.lib.errors import BadInput
from stages.lib.evolution.evolutions import load_evolutions, load_examples
from stages.lib.evolution.rows import Row, question
from stages.lib.judging.questions import ruling_messages, ruling_schema
from stages.lib.judging.rules import Rule
from stages.lib.tasks.pool import Case

FOLDER = Path(__file__).parent
EXAMPLES = "constraints"  # the evolution of the examples
# Lengths in characters, for weak models alone (teacher.schema_limits).
EVOLVED = {"instruction": {"type": "string", "minLength": 30, "maxLength": 450}}
ANSWERED = {"output": {"type": "string", "minLength": 10, "maxLength": 400}}


def examples(count: int) -> list[Case]:
    """`count` examples of a question (`code`) that was made harder, and its answer; the paper shows none.

    Raises `BadInput` if there are fewer.
    """
    found = [one.case("evol-instruct", "code generation") for one in load_examples()]
    if count > len(found):
        raise BadInput(f"evolve.examples: {count}, but stages/lib/evolution/examples.yaml has {len(found)}")
    return found[:count]


def evolve(row: Row, number: int, evolution: str, shown: Sequence[Case]) -> teacher.Ask:
    """The ask that makes the instruction of `row` harder, in the words of WizardCoder's template."""
    turns = [(_evolve(EXAMPLES, case.code), {"instruction": case.answer["instruction"]}) for case in shown]
    messages = _talk(turns, _evolve(evolution, question(row)))
    return teacher.Ask(artifacts.digest([row["id"], number]), messages, _schema(EVOLVED))


def answer(row: Row, language: str, shown: Sequence[Case]) -> teacher.Ask:
    """The ask that answers an evolved row, in code where `language` is not ""."""
    turns = [
        (_answer(case.answer["instruction"], case.language), {"output": case.answer["solution"]}) for case in shown
    ]
    return teacher.Ask(row["id"], _talk(turns, _answer(question(row), language)), _schema(ANSWERED))


def judge(row: Row, rules: Sequence[Rule]) -> teacher.Ask:
    """The ask that rules on an answered row."""
    shown = {"instruction": row["instruction"], "information": row["input"], "solution": row["output"]}
    return teacher.Ask(row["id"], ruling_messages(rules, shown), ruling_schema(rules))


def ruled(rows: list[Row], answers: list[Any]) -> tuple[list[Row], list[Row]]:
    """The rows that the judge passes, and those that it does not, or could not rule on, with rule and reason."""
    kept, failed = [], []
    for row, said in zip(rows, answers, strict=True):
        if said is None:
            failed.append({**row, "rule": "no_ruling", "reason": "the judge gave no usable answer"})
            continue
        judged = {**row, "judge_request": said.request}
        broken = next(((name, one["reason"]) for name, one in said.value.items() if one["verdict"] != "pass"), None)
        if broken:
            failed.append({**judged, "rule": broken[0], "reason": broken[1]})
        else:
            kept.append(judged)
    return kept, failed


def code_language(row: Row) -> str:
    """The language that answers to evolutions of `row` must parse in: that of its own answer, where that is code."""
    language = row["language"]
    return language if language and functions.parses(row["output"], language) else ""


def _evolve(evolution: str, text: str) -> str:
    method = load_evolutions()[evolution].ask
    return templates.render(FOLDER / "evolve.j2", {"method": method, "question": text}).strip()


def _answer(text: str, language: str) -> str:
    facts = {"question": text, "code": bool(language), "language": language}
    return templates.render(FOLDER / "answer.j2", facts).strip()


def _talk(turns: Sequence[tuple[str, dict[str, str]]], last: str) -> list[dict[str, str]]:
    """A conversation of examples that ends with the user's question."""
    return templates.conversation("", [(asked, json.dumps(said, ensure_ascii=False)) for asked, said in turns], last)


def _schema(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
