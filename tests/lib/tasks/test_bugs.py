"""Bugs that the program plants: which there are, and what the teacher is asked about them."""

import json
from collections import Counter

import pytest
from instances import function
from jsonschema import Draft202012Validator

from stages.lib import sandbox
from stages.lib.corpus import functions
from stages.lib.judging.rules import load_rules
from stages.lib.methods import planting
from stages.lib.methods.assignment import Assignment, Wording
from stages.lib.methods.method import load_method
from stages.lib.tasks import bugs
from stages.lib.tasks.checks import Instance, run_checks
from stages.lib.tasks.definitions import load_task
from stages.lib.tasks.pool import frozen, seed_cases
from stages.lib.tasks.prompts import answer_schema

PYTHON = """def chunks(items, size, label="a + b < c"):
    # items + size == 1
    if not items or size < 1:
        return []
    count = max(len(items), 1)
    while count > 0:
        count -= 1
        break
    return divide(items, size)[1:count + 1]"""

WORDING = Wording(good=1, bad=1)
EXECUTION = sandbox.Execution(limits=sandbox.Limits(), workers=1, allow_weak_isolation=False)
NO_TESTS = planting.Tests(**{"languages": [], "count": 4, "from": "observed", "execution": EXECUTION})


def planted(code: str, language: str) -> set[tuple[str, str, str]]:
    return {(bug.kind, bug.line, bug.broken_line) for bug in bugs.draw(code, language, "key")}


def test_the_kinds_of_bugs_in_python() -> None:
    found = planted(PYTHON, "Python")
    assert found >= {
        ("boundary", "if not items or size < 1:", "if not items or size <= 1:"),
        ("logic", "if not items or size < 1:", "if not items and size < 1:"),
        ("negation", "if not items or size < 1:", "if items or size < 1:"),
        ("off by one", "if not items or size < 1:", "if not items or size < 2:"),
        ("namesake", "count = max(len(items), 1)", "count = min(len(items), 1)"),
        ("wrong variable", "count = max(len(items), 1)", "count = max(len(size), 1)"),
        ("assignment", "count -= 1", "count += 1"),
        ("assignment", "count -= 1", "count = 1"),
        ("loop", "break", "continue"),
        ("missing one", "return divide(items, size)[1:count + 1]", "return divide(items, size)[1:count]"),
        ("arithmetic", "return divide(items, size)[1:count + 1]", "return divide(items, size)[1:count - 1]"),
        ("swapped arguments", "return divide(items, size)[1:count + 1]", "return divide(size, items)[1:count + 1]"),
    }
    assert not [line for _, _, line in found if "min(1, len" in line], "the arguments of max may be swapped"


@pytest.mark.parametrize(
    ("language", "code", "bug"),
    [
        (
            "JavaScript",
            "function f(a, b) {\n  return !a && b.indexOf(a) === 0;\n}",
            "return a && b.indexOf(a) === 0;",
        ),
        ("Java", "int f(List<String> a, int b) {\n  return a.size() < b ? b : 1;\n}", "return a.size() <= b ? b : 1;"),
        ("Go", "func f(a []int, b int) int {\n\treturn a[b-1]\n}", "return a[b]"),
        ("PHP", "function f($a, $b) {\n  return $a . max($b, $a);\n}", "return $b . max($b, $a);"),
        ("Ruby", "def f(a, b)\n  a.first if a == b\nend", "a.last if a == b"),
        ("C++", "int f(std::vector<int> a, int b) {\n  return a[b] << 1;\n}", "return a[b] >> 1;"),
        ("C#", "int F(int a, int b)\n{\n  return a / b;\n}", "return a * b;"),
        ("Rust", "fn f(a: i32, b: i32) -> i32 {\n    a % b\n}", "a / b"),
    ],
)
def test_bugs_in_other_languages(language: str, code: str, bug: str) -> None:
    found = planted(code, language)
    assert bug in {line for _, _, line in found}, found
    assert not [line for _, _, line in found if "List>" in line or "vector>" in line or "vector<=" in line]


def test_a_typed_language_gets_no_variable_of_another_type() -> None:
    code = "int f(String name, int size, int most) {\n  int low = 1;\n  return Math.min(size, low);\n}"
    found = {line for kind, _, line in planted(code, "Java") if kind == "wrong variable"}
    assert found == {
        "return Math.min(most, low);",
        "return Math.min(size, most);",
    }


def test_every_bug_parses_and_changes_one_line_outside_strings_and_comments() -> None:
    for case in seed_cases():
        for bug in bugs.draw(case.code.strip("\n"), case.language, case.id):
            lines = case.code.strip("\n").split("\n")
            changed = [n for n, line in enumerate(bug.code.split("\n")) if line != lines[n]]
            assert len(changed) == 1 and changed[0] > 0 and functions.parses(bug.code, case.language)
            assert bug.code.split("\n")[changed[0]].strip() == bug.broken_line != bug.line == lines[changed[0]].strip()
    assert '"a + b < c"' in PYTHON and all('"a + b < c"' in bug.code for bug in bugs.draw(PYTHON, "Python", "x"))
    assert all("# items + size == 1" in bug.code for bug in bugs.draw(PYTHON, "Python", "x", any_line=True))
    assert bugs.draw("def f(:", "Python", "x") == [] == bugs.draw("def f():\n    return g", "Python", "x")


def test_the_kinds_take_turns_in_an_order_that_the_key_decides() -> None:
    drawn = bugs.draw(PYTHON, "Python", "one")
    assert drawn == bugs.draw(PYTHON, "Python", "one") and len(drawn) == len({bug.code for bug in drawn})
    kinds = len({bug.kind for bug in drawn})
    assert len({bug.kind for bug in drawn[:kinds]}) == kinds
    firsts = Counter(bugs.draw(PYTHON, "Python", f"key {n}")[0].kind for n in range(200))
    assert len(firsts) == kinds and max(firsts.values()) < 60


def test_a_planted_bug_is_the_rows_input_and_what_it_does_its_instruction() -> None:
    row, mix = function(7), {"code repair": 1.0}
    pool, _ = frozen([], each=8, most_characters=800, styled=False)
    plain = Assignment.draw(load_method("generator-discriminator"), row, pool, 1, mix, WORDING)
    bug = bugs.draw(row["code"], "Python", row["id"])[0]
    asked = plain.with_bug(bug.shown("add_7(1) returns 8 instead of 56."))
    messages = asked.messages("")
    question = messages[-1]["content"]
    assert row["code"] in question and question.endswith("Say what this Python function should do.")
    assert json.loads(messages[2]["content"]).keys() == asked.schema["properties"].keys() == {"purpose"}
    assert "broken_line" not in messages[0]["content"]
    written = {"purpose": "This Python function should add 7 to a value and multiply the sum by 7."}
    Draft202012Validator(asked.schema).validate(written)
    assert "does not name Python" in asked.objection({"purpose": "It should return a number for every value."})
    assert "a code fence" in asked.objection({"purpose": f"In the Python code, ```{bug.broken_line}``` is wrong."})
    candidate = asked.candidate(written, "request", "asked", 1)
    assert candidate["information"] == bug.code and candidate["solution"] == row["code"]
    assert json.loads(candidate["answer"]) == {**bug.shown("add_7(1) returns 8 instead of 56."), **written}
    said = f"{written['purpose']} add_7(1) returns 8 instead of 56. Find and fix the bug."
    assert candidate["instruction"] == said
    unproven = plain.with_bug(bug.shown("")).candidate(written, "request", "asked", 1)
    assert "7. One of its lines is wrong. Find" in unproven["instruction"]
    subject = Instance.of(candidate, True)
    assert not [fault for _, fault in run_checks(load_rules("code repair").checks, subject) if fault]
    assert list(plain.schema["properties"]) == ["line", "broken_line", "instruction"], "the teacher's way is untouched"


def test_the_planted_seeds_fit_what_is_asked() -> None:
    task = load_task("code repair").with_bug_planted()
    for case in seed_cases():
        if case.task == task.name and case.good:
            schema = answer_schema(task, case.code, case.language, case.language)
            Draft202012Validator(schema).validate({key: case.answer[key] for key in task.writes})


def test_a_function_without_a_place_for_a_bug_gets_another_task_or_is_set_aside() -> None:
    pool, _ = frozen([], each=8, most_characters=800, styled=False)
    bare = {**function(1), "id": "bare", "code": "def f():\n    return g"}
    method = load_method("generator-discriminator")

    def planted_in(mix: dict[str, float], *functions: dict[str, object]) -> planting.Ready:
        rows = [Assignment.draw(method, row, pool, 1, {"code repair": 1.0}, WORDING) for row in functions]
        return planting.prepare(rows, pool, (1, mix, WORDING), planting.Repair(bug="mutation"), NO_TESTS)

    ready = planted_in({"code repair": 50.0, "code summarization": 50.0}, bare, function(2))
    assert [row.task.name for row in ready.rows] == ["code summarization", "code repair"] and not ready.set_aside
    assert ready.counts == {"unproven": 1, "given another task": 1}
    ready = planted_in({"code repair": 50.0, "code summarization": 0.0}, bare, function(2))
    assert [row.task.name for row in ready.rows] == ["code repair"] and ready.counts == {"unproven": 1}
    assert ready.set_aside == [{"id": "bare", "reason": "no bug can be planted", "tokens": 7}]
    assert planted_in({"code repair": 1.0}, bare).rows == [], "generate stops, saying so"
