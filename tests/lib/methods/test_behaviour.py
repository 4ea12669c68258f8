"""Functions that are really run, in the sandbox: their tests, and the bugs that change what they return."""

import re
from typing import Any

import pytest
from instances import function

from stages.lib import sandbox
from stages.lib.judging import execution
from stages.lib.methods import behaviour, planting
from stages.lib.methods.assignment import Assignment, Wording
from stages.lib.methods.behaviour import Subject, python
from stages.lib.methods.method import load_method
from stages.lib.tasks import bugs, unit_tests
from stages.lib.tasks.pool import frozen

WORDING = Wording(good=1, bad=1)
KNOBS = sandbox.Execution(limits=sandbox.Limits(), workers=2, allow_weak_isolation=False)
GCD = "def gcd(a: int, b: int) -> int:\n    while b:\n        a, b = b, a % b\n    return a"
WINDOWS = (
    "def windows(items, size):\n    for start in range(len(items) - size + 1):\n        yield items[start:start + size]"
)
UNIQUE = "def unique(words):\n    return list(set(words))"
HARMLESS = "def third(items):\n    if len(items) < 3:\n        return None\n    return items[2:][0]"


def subject(
    code: str, docstring: str = "", imports: str = "", planted: bool = False, language: str = "Python"
) -> Subject:
    code = f"{imports}\n\n{code}" if imports else code
    found = bugs.draw(code, language, "key") if planted else []
    return Subject(id=f"id of {code}", language=language, code=code, docstring=docstring, bugs=found)


def outcome(solution: str, tests: list[str], task: str = "code generation", **more: Any) -> str:
    row = {"id": "row", "task": task, "language": "Python", "target_language": "Python", "information": ""}
    return execution.run_all([{**row, "solution": solution, "tests": tests, **more}], KNOBS).get("row", "")


def test_what_a_function_returns_becomes_its_tests_the_same_ones_each_time() -> None:
    subjects = [subject(GCD, "Greatest divisor.\n\n>>> gcd(12, 18)\n6\n"), subject(WINDOWS)]
    first, second = behaviour.observe(subjects, 4, KNOBS), behaviour.observe(subjects, 4, KNOBS)
    assert first == second
    of_gcd, of_windows = first
    assert len(of_gcd.tests) == 4 and "assert candidate(12, 18) == 6" in of_gcd.tests
    assert all(line.startswith("assert list(candidate(") for line in of_windows.tests) and len(of_windows.tests) >= 2
    for one, code in ((of_gcd, GCD), (of_windows, WINDOWS)):
        assert one.ran and one.bug is None
        assert not [line for line in one.tests if unit_tests.fault_of(line)]
        assert len({line.partition(") == ")[2] for line in one.tests}) >= 2, "the results differ"
        assert outcome(code, one.tests) == "passed"
    assert outcome(GCD.replace("return a", "return b"), of_gcd.tests) == "wrong answer"


def test_the_planted_bug_changes_a_result_and_the_tests_find_it() -> None:
    for one in behaviour.observe([subject(GCD, planted=True), subject(WINDOWS, planted=True)], 4, KNOBS):
        assert one.bug is not None and one.tests
        name = "gcd" if "gcd" in one.bug.code else "windows"
        assert len(one.shown) > 1 and len({shown.bug.code for shown in one.shown}) == len(one.shown)
        right = GCD if name == "gcd" else WINDOWS
        assert outcome(right, one.tests, "code repair", information=one.bug.code) == "passed"
        for shown in one.shown:
            assert shown.seen.startswith(f"{name}(") and (" instead " in shown.seen or "does not end" in shown.seen)
            assert outcome(shown.bug.code, one.tests) != "passed"
        assert outcome(right, one.tests, "code repair", information=right) == "input passes too"


def test_a_bug_that_changes_nothing_is_not_planted() -> None:
    harmless = bugs.Bug("made up", "return items[2:][0]", "return items[2:][-0]", HARMLESS.replace("[0]", "[-0]"))
    real = bugs.Bug("made up", "return items[2:][0]", "return items[1:][0]", HARMLESS.replace("2:", "1:"))
    base = subject(HARMLESS)
    for offered, chosen in (([harmless], None), ([harmless, real], real)):
        [one] = behaviour.observe([Subject(**{**base.__dict__, "bugs": offered})], 4, KNOBS)
        assert one.ran and one.bug == chosen and one.tests
        assert [shown.bug for shown in one.shown] == ([chosen] if chosen else []) and all(s.seen for s in one.shown)


@pytest.mark.parametrize(
    ("code", "imports", "why"),
    [
        ("def dice(sides):\n    return random.randint(1, sides)", "import random", "chance"),
        ("def now(zone):\n    from datetime import datetime\n    return str(datetime.now())", "", "the clock"),
        ("def shout(text):\n    print(text)", "", "nothing is returned"),
        ("def five(x):\n    return 5", "", "always the same"),
        ("def wrap(x):\n    return object()", "", "no plain value"),
        ("def third(x):\n    return [x / 7] if isinstance(x, int) and x % 7 else None", "", "floats with many digits"),
        ("def f(self, x):\n    return x", "", "a method"),
        ("def f(x, *, key):\n    return key(x)", "", "a keyword that must be given"),
        ("def f(x):\n    while True:\n        pass", "", "no end"),
        ("def f(x):\n    return missing(x)", "", "a name that nothing defines"),
        (
            "def f(x):\n    return helper.double(x)",
            "import nowhere_to_be_found as helper",
            "an import that is not there",
        ),
    ],
)
def test_a_function_of_which_nothing_steady_comes_gets_no_tests(code: str, imports: str, why: str) -> None:
    [one] = behaviour.observe([subject(code, imports=imports)], 4, KNOBS)
    assert one == behaviour.Observed(), why


def test_what_depends_on_the_order_of_a_set_is_no_test() -> None:
    [one] = behaviour.observe([subject(UNIQUE, "unique(['b', 'a', 'c', 'd', 'e', 'f'])")], 4, KNOBS)
    assert "['b', 'a', 'c', 'd', 'e', 'f']" not in " ".join(one.tests)


def test_the_functions_imports_are_there_when_it_and_its_tests_are_run() -> None:
    code = "def halves(items):\n    return math.ceil(len(items) / 2)"
    [one] = behaviour.observe([subject(code, imports="import math")], 4, KNOBS)
    assert len(one.tests) == 4
    assert outcome(code, one.tests) == "exception" and outcome(f"import math\n\n{code}", one.tests) == "passed"


def test_calls_come_from_the_documentation_and_suit_the_parameters() -> None:
    code = "def repeat_text(text, times=2, *, sep=''):\n    return sep.join([text] * times)"
    doc = "Repeat.\n\n>>> repeat_text('ab', times=3)\n'ababab'\n>>> repeat_text(\n...     'x')\n>>> repeat_text(y, 1)\n"
    found = python.calls("id", code, "repeat_text", doc, 40)
    assert found[:2] == ["'ab', 3", "'x'"] and len(found) == len(set(found)) == 40
    assert sum(call.startswith("'") for call in found) > 25, "most first arguments are texts"
    assert found == python.calls("id", code, "repeat_text", doc, 40)
    assert found[2:] != python.calls("other", code, "repeat_text", doc, 40)[2:]


def test_a_set_in_the_documentation_is_written_the_same_each_time() -> None:
    code = "def parts(word, known):\n    return [one for one in known if one in word]"
    assert python.calls("id", code, "parts", ">>> parts('ab', {'b', 'c', 'a', 'd'})", 1) == [
        "'ab', {'b', 'c', 'a', 'd'}"
    ]


def prepared(code: str, mix: dict[str, float], method: str = "generator-discriminator", **tests: Any) -> planting.Ready:
    pool, _ = frozen([], each=8, most_characters=800, styled=False)
    row = {**function(1), "id": "x", "code": code, "docstring": "The :func:`greatest` ``divisor``,\n\nMore."}
    asked = {"languages": ["Python"], "count": 4, "from": "observed", "execution": KNOBS, **tests}
    drawn = Assignment.draw(load_method(method), row, pool, 1, {"code repair": 1.0}, WORDING)
    wish = planting.Repair(bug="mutation"), planting.Tests(**asked)
    return planting.prepare([drawn], pool, (1, mix, WORDING), *wish)


def test_rows_of_repair_get_a_bug_that_was_shown_or_another_task(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"code repair": 1.0, "code summarization": 1.0}
    shown = prepared(GCD, both)
    assert shown.counts == {"shown": 1} and "gcd(" in shown.rows[0].messages("")[-1]["content"]
    assert shown.tests["x"]
    unproven = prepared(GCD, both, languages=[])
    assert unproven.counts == {"unproven": 1} and not unproven.tests
    assert "Since then" not in unproven.rows[0].messages("")[-1]["content"]
    harmless = bugs.Bug("made up", "return items[2:][0]", "return items[2:][-0]", HARMLESS.replace("[0]", "[-0]"))
    monkeypatch.setattr(planting, "_bugs", lambda row: [harmless])
    other = prepared(HARMLESS, both)
    assert other.counts == {"given another task": 1} and other.rows[0].task.name == "code summarization"


def test_the_method_mutation_makes_repairs_without_a_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = prepared(GCD, {}, "mutation")
    made = ready.rows[0].candidate({}, "", "", 1)
    assert not load_method("mutation").asks and ready.counts == {"shown": 1}
    assert re.fullmatch(
        r"This Python function is meant to do this: The greatest divisor\. gcd\(.+\) .+\. Find and fix the bug\.",
        made["instruction"],
    )
    assert made["task"] == "code repair" and made["solution"] == GCD
    assert outcome(made["solution"], ready.tests["x"], "code repair", information=made["information"]) == "passed"
    unproven = prepared(GCD, {}, "mutation", languages=[]).rows[0].candidate({}, "", "", 1)
    assert "The greatest divisor. One of its lines is wrong. Find and fix the bug." in unproven["instruction"]
    monkeypatch.setattr(planting, "_bugs", lambda row: [])
    nothing = prepared(GCD, {"code summarization": 1.0}, "mutation")
    assert not nothing.rows and nothing.set_aside[0]["reason"] == "no bug can be planted"


def test_only_the_row_of_repair_gets_the_bug_where_a_function_has_several_rows() -> None:
    pool, _ = frozen([], each=8, most_characters=800, styled=False)
    mix, row = {"code repair": 1.0, "code generation": 1.0}, {**function(1), "id": "x", "code": GCD}
    method = load_method("generator-discriminator")
    rows = Assignment.draw_each(2, method, row, pool, 1, mix, WORDING)
    tests = planting.Tests(**{"languages": ["Python"], "count": 4, "from": "observed", "execution": KNOBS})
    ready = planting.prepare(rows, pool, (1, mix, WORDING), planting.Repair(bug="mutation"), tests)
    shown = {row.task.name: "purpose" in row.schema["properties"] for row in ready.rows}
    assert shown == {"code repair": True, "code generation": False} and ready.counts == {"shown": 1}
