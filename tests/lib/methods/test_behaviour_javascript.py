"""JavaScript functions: what they are called with, what is seen when they are really run, and the bugs that show."""

import ast
import json
from typing import Any

import pytest
from instances import function
from tree_sitter import Node

from stages.lib import sandbox
from stages.lib.corpus import functions
from stages.lib.errors import BadInput
from stages.lib.judging import execution
from stages.lib.methods import behaviour, planting
from stages.lib.methods.assignment import Assignment, Wording
from stages.lib.methods.behaviour import Observed, Subject, javascript
from stages.lib.methods.behaviour.javascript import documentation, literals, steps, usage
from stages.lib.methods.method import load_method
from stages.lib.tasks import bugs, unit_tests
from stages.lib.tasks.pool import frozen

KNOBS = sandbox.Execution(limits=sandbox.Limits(), workers=2, allow_weak_isolation=False)
GCD = "function gcd(a, b) {\n  while (b) {\n    var rest = a % b;\n    a = b;\n    b = rest;\n  }\n  return a;\n}"
FILL = "export default function fill(list, value) {\n  list.push(value);\n  return list;\n}"
COUNTED = """function counted(words) {
  const found = {};
  for (const word of words) found[word] = words.length;
  return found;
}"""
VALUES = """const pick = (place) => [
  0, 1.0, -3, 2.5, 1e14, true, null, '', "it's \\"so\\"", 'é\\n\\u2028\\u007f☃',
  [], [1, [null, 'a']], {}, {a: {'b c': [false]}},
][place];"""
NO_VALUES = """function odd(place) {
  var holes = [1, , 3], typed = Object.assign([1], { a: 1 }), loop = [];
  loop.push(loop);
  return [
    -0, NaN, Infinity, undefined, [undefined], [-0], [NaN], { a: undefined }, holes, typed, loop, /a/, Symbol('a'), 10n,
    function () {}, new Map([[1, 2]]), new Set([1]), new Uint8Array(2), Object.create(null), new (class A {})(), [,],
    { get a() { return 1; } }, JSON.parse('{"__proto__": 1}'), 1 / 3, 1e21, 'x'.repeat(200), new Error('a'),
    Object('a'),
  ][place];
}"""


def node() -> None:
    if reason := sandbox.missing("javascript"):
        pytest.skip(reason)


def subject(code: str, docstring: str = "", planted: bool = False) -> Subject:
    found = bugs.draw(code, "JavaScript", "key") if planted else []
    return Subject(id=f"id of {code}", language="JavaScript", code=code, docstring=docstring, bugs=found)


def outcome(solution: str, tests: list[str], task: str = "code generation", broken: str = "") -> str:
    languages = {"language": "JavaScript", "target_language": "JavaScript"}
    row = {"id": "row", "task": task, **languages, "information": broken, "solution": solution, "tests": tests}
    return execution.run_all([row], KNOBS).get("row", "")


def endings(code: str, name: str, calls: list[str]) -> list[tuple[str, str]]:
    """What came of the calls."""
    [ran] = sandbox.run_all([javascript.program([code], name, calls)], KNOBS.limits, 1, False, False)
    assert ran.verdict == "passed", ran
    return behaviour._endings(ran.detail)[0]


@pytest.mark.toolchain
def test_what_a_function_returns_becomes_its_tests_the_same_ones_each_time() -> None:
    node()
    subjects = [subject(GCD, "@example\ngcd(12, 18); // => 6"), subject(FILL), subject(COUNTED)]
    first, second = behaviour.observe(subjects, 4, KNOBS), behaviour.observe(subjects, 4, KNOBS)
    assert first == second
    assert "assert candidate(12, 18) == 6" in first[0].tests
    for one, code in zip(first, (GCD, FILL, COUNTED), strict=True):
        assert one.ran and one.bug is None and len(one.tests) == 4
        assert not [line for line in one.tests if unit_tests.fault_of(line)]
        assert outcome(code, one.tests) == "passed"
    assert outcome(GCD.replace("return a", "return b"), first[0].tests) == "wrong answer"


@pytest.mark.toolchain
def test_a_value_is_told_as_the_literal_that_a_test_of_it_passes_with() -> None:
    node()
    places = [str(place) for place in range(14)]
    seen = endings(VALUES, "pick", places)
    expected: list[Any] = [0, 1, -3, 2.5, 10**14, True, None, "", 'it\'s "so"', "é\n\u2028\u007f☃"]
    expected += [[], [1, [None, "a"]], {}, {"a": {"b c": [False]}}]
    assert [ast.literal_eval(text) for kind, text in seen if kind == "value"] == expected
    assert all(len(text.splitlines()) == 1 for _, text in seen)
    lines = [f"assert candidate({place}) == {text}" for place, (_, text) in zip(places, seen, strict=True)]
    assert outcome(VALUES, lines) == "passed"
    shifted = [f"assert candidate({place}) == {text}" for place, (_, text) in zip(places[1:], seen, strict=False)]
    for line in shifted:
        assert outcome(VALUES, [lines[0], line]) == "wrong answer", line


@pytest.mark.toolchain
def test_what_is_no_plain_value_is_no_test() -> None:
    node()
    seen = endings(NO_VALUES, "odd", [str(place) for place in range(28)])
    assert [text for kind, text in seen[:4]] == ["-0", "NaN", "Infinity", "undefined"]  # told of a bug alone
    assert not {text for _, text in seen[:4]} - set(javascript.UNTOLD)
    assert set(seen[4:]) == {("none", "no plain value")}
    assert behaviour.observe([subject("function half(n) {\n  return -0 / (n * n + 1);\n}")], 4, KNOBS) == [Observed()]


@pytest.mark.toolchain
@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("function f(x) {\n  while (true) {\n    try { x(); } catch (error) {}\n  }\n}", ("none", "endless")),
        ("function f(x) {\n  try { for (;;); } catch (error) { return 1; }\n}", ("none", "endless")),
        ("var f = (x) => f(x) + 1;", ("none", "endless")),
        ("function f(x) {\n  throw new RangeError('no');\n}", ("raises", "RangeError")),
        ("function f(x) {\n  throw 'no';\n}", ("raises", "Error")),
        ("function f(x) {\n  return missing;\n}", ("raises", "ReferenceError")),
        ("function f(x) {\n  return process.pid;\n}", ("raises", "ReferenceError")),
        ("function f(x) {\n  console.log(x);\n  return 'said';\n}", ("value", '"said"')),
        ("let calls = 0;\nfunction f(x) {\n  return ++calls;\n}", ("none", "unsteady")),
        ("function f(x) {\n  'use strict';\n  return String(this);\n}", ("value", '"undefined"')),
        ("function f(x) {\n  return 'step'.replace(/e/, () => 'o');\n}", ("value", '"stop"')),
    ],
)
def test_what_comes_of_a_call(code: str, ending: tuple[str, str]) -> None:
    node()
    assert endings(code, "f", ["1", "2"])[0] == ending


@pytest.mark.toolchain
def test_a_version_gets_no_more_than_its_share_of_steps_and_each_call_its_own() -> None:
    node()
    code = "function f(n) {\n  for (var i = 0; i < n; i++);\n  return i;\n}"
    assert endings(code, "f", ["480", "600", "3"]) == [("value", "480"), ("none", "endless"), ("value", "3")]
    assert endings(code, "f", ["480"] * 22)[0] == ("none", "unsteady"), "from the other end there were none left"


@pytest.mark.toolchain
def test_the_planted_bug_changes_a_result_and_the_tests_find_it() -> None:
    node()
    both = [subject(GCD, planted=True), subject(FILL, planted=True)]
    for one, right in zip(behaviour.observe(both, 4, KNOBS), (GCD, FILL), strict=True):
        assert one.bug is not None and one.tests
        name = "gcd" if right == GCD else "fill"
        assert (len(one.shown) > 1) == (right == GCD) and len({shown.bug.code for shown in one.shown}) == len(one.shown)
        assert outcome(right, one.tests, "code repair", one.bug.code) == "passed"
        for shown in one.shown:
            assert shown.seen.startswith(f"{name}(") and (" instead " in shown.seen or "does not end" in shown.seen)
            assert outcome(shown.bug.code, one.tests) != "passed"
        assert outcome(right, one.tests, "code repair", right) == "input passes too"


@pytest.mark.toolchain
def test_a_bug_is_told_in_javascript() -> None:
    node()
    code = "function last(list) {\n  const end = list.length - 1;\n  return [list[end], end > 1];\n}"
    told = {
        "return [list[1], end > 1];": "last([1, 2, 3]) returns [2, true] instead of [3, true].",
        "return void end;": "last([1, 2, 3]) returns undefined instead of [3, true].",
        "return list[end].x.y;": "last([1, 2, 3]) throws TypeError instead of returning [3, true].",
    }
    for line, seen in told.items():
        broken = code.replace("return [list[end], end > 1];", line)
        bug = bugs.Bug("made up", "return [list[end], end > 1];", line, broken)
        one = Subject(id="x", language="JavaScript", code=code, docstring="last([1, 2, 3])", bugs=[bug])
        assert behaviour.observe([one], 4, KNOBS)[0].shown[0].seen == seen


@pytest.mark.toolchain
def test_a_bug_that_changes_nothing_is_not_planted() -> None:
    node()
    code = "function third(list) {\n  if (list.length < 3) return 0;\n  return list.slice(2)[0];\n}"
    harmless = bugs.Bug("made up", "", "", code.replace("[0];", "[-0];"))
    real = bugs.Bug("made up", "", "", code.replace("(2)", "(1)"))
    for offered, chosen in (([harmless], None), ([harmless, real], real)):
        one = Subject(id="x", language="JavaScript", code=code, docstring="", bugs=offered)
        [seen] = behaviour.observe([one], 4, KNOBS)
        assert seen.ran and seen.bug == chosen and seen.tests and all(shown.seen for shown in seen.shown)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("function f(n) {\n  return Math.floor(Math.random() * n);\n}", "chance"),
        ("function f() {\n  return new Date().getTime();\n}", "the clock"),
        ("async function f(x) {\n  return x;\n}", "a promise"),
        ("function f(x) {\n  return Promise.resolve(x);\n}", "a promise"),
        ("function* f(x) {\n  yield x;\n}", "a generator"),
        ("function f(x) {\n  setTimeout(function () {}, x);\n  return 1;\n}", "a timer"),
        ("function f(x) {\n  return require('os').cpus().length + x;\n}", "node's own"),
        ("function f(x) {\n  return typeof process === 'object' ? x : 0;\n}", "node's own"),
        ("function f(a, b) {\n  return a.localeCompare(b);\n}", "the machine's language"),
        ("function f(x) {\n  return eval(x);\n}", "what cannot be counted"),
        ("function f(x) {\n  return this.y + x;\n}", "an object of its own"),
        ("function f(list, keep) {\n  return list.filter(keep) && keep(1);\n}", "a function must be given"),
        ("function f(x) {\n  var get = x.accessors[0];\n  return get(x);\n}", "an object of functions must be given"),
        ("f(x) {\n  return x;\n}", "a method"),
        ("function f(x) {\n  return x +;\n}", "it does not parse"),
        ("function g(x) {\n  return x;\n}", "another name"),
    ],
)
def test_what_gives_nothing_steady_is_not_called(code: str, why: str) -> None:
    assert javascript.calls("id", code, "f", "", 8) == [], why


def test_calls_come_from_the_documentation_and_suit_the_parameters() -> None:
    code = "function repeat_(text, times) {\n  return text.repeat(times === undefined ? 2 : times);\n}"
    doc = """Repeats.
    @param {string} text - what is repeated
    @param {NonNegativeInteger} [times=2] - how often
    @example
    var x = 'a\\tb'; // a comment
    repeat_( x, 3 );
    // returns 'a…'
    @example repeat_('it\\'s', -1.0)
    repeat_(unknown, 1); repeat_({ 'a': [ 0x10, null, true ], b: -.5 });
    """
    found = javascript.calls("id", code, "repeat_", doc, 40)
    assert found[:3] == ["'a\\tb', 3", '"it\'s", -1', "{'a': [16, None, True], 'b': -0.5}"]
    assert len(found) == len(set(found)) == 40 == len(javascript.calls("id", code, "repeat_", "", 40))
    drawn = [ast.literal_eval(f"[{call}]") for call in found[3:]]
    assert all(type(one[0]) is str and all(type(times) is int for times in one[1:]) for one in drawn)
    assert {len(one) for one in drawn} == {1, 2}
    assert found == javascript.calls("id", code, "repeat_", doc, 40)
    assert found[3:] != javascript.calls("other", code, "repeat_", doc, 40)[3:]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.0, -2, 0x1F, 1e3", [1, -2, 31, 1000]),
        ("'\\x41\\u00e9\\u{1F600}\\/\\0', \"\"", ["Aé😀/\0", ""]),
        ("[ [], null ], { a: 1, 'b c': true }", [[[], None], {"a": 1, "b c": True}]),
        ("known", [[7]]),
        *((text, None) for text in ("x", "f(1)", "undefined", "[1, , 2]", "10n", "`a`", "{a}", "{ __proto__: 1 }")),
        *((text, None) for text in ("'\\uD83D'", "1 +", "...[1]", "{ [a]: 1 }", "-x", "NaN", "1); f(2")),
    ],
)
def test_literals_are_read_as_python_values(text: str, value: list[Any] | None) -> None:
    if value is None:
        with pytest.raises(literals.NoLiteral):
            literals.arguments(text, {})
    else:
        found = literals.arguments(text, {"known": [7]})
        assert found == value and json.dumps(found) == json.dumps(value)  # 1 is not 1.0


def test_jsdoc_tells_types_and_what_may_be_left_out() -> None:
    doc = "@param {Array<number>} list - x\n@param {{a: number}} [opt={}]\n@param {string=} s\n"
    doc += "@param t - a\n@param {*} opt.a"
    assert documentation.parameters(doc) == {
        "list": documentation.Documented("Array<number>", False),
        "opt": documentation.Documented("{a: number}", True),
        "s": documentation.Documented("string=", True),
        "t": documentation.Documented("", False),
    }
    assert documentation.is_function("Function") and documentation.is_function("(Callback|function)")
    assert not documentation.is_function("(string|Function)") and not documentation.is_function("")


@pytest.mark.toolchain
def test_a_row_of_repair_in_javascript_gets_a_bug_that_was_shown_and_tests() -> None:
    node()
    pool, _ = frozen([], each=8, most_characters=800, styled=False)
    mix, wording = {"code repair": 1.0}, Wording(good=1, bad=1)
    row = {**function(1), "id": "x", "code": GCD, "language": "JavaScript"}
    for languages, counts in ((["Python", "JavaScript"], {"shown": 1}), (["Python"], {"unproven": 1})):
        tests = planting.Tests(**{"languages": languages, "count": 4, "from": "observed", "execution": KNOBS})
        drawn = Assignment.draw(load_method("generator-discriminator"), row, pool, 1, mix, wording)
        ready = planting.prepare([drawn], pool, (1, mix, wording), planting.Repair(bug="mutation"), tests)
        assert ready.counts == counts and bool(ready.tests) == (counts == {"shown": 1})


def function_in(code: str) -> Node:
    return functions.parse_file(code, "JavaScript").named_children[0]


def test_how_a_parameter_is_used_tells_its_type() -> None:
    code = """function f(text, list, number, sequence, object, flag, node, other) {
      for (const key in object) list.push(key.length - number);
      if (flag) return text.trim() + sequence[0] + node.x * 2 + node.name.split('');
      return other + (other > 'a');
    }"""
    found = usage.kinds(function_in(code))
    told = {"text": "string", "list": "Array", "number": "number", "sequence": "sequence", "object": "Object"}
    assert told.items() <= found.items() and found["flag"] == "boolean" and "other" not in found
    assert found["node.x"] == "number" and found["node.name"] == "string"


def test_steps_are_counted_in_every_loop_and_function_and_nothing_else_changes() -> None:
    code = (
        "function f(x) { 'use strict'; while (x) do x--; while (x > 9); for (;;) { break } return y => z => y }\n"
        "if (a) for (const b of c) b(); else label: for (d in e) continue label\n"
        "const g = { h() {}, i: function () { return () => ({}) } }"
    )
    step = steps.STEP
    assert steps.counted(code) == (
        f"function f(x) {{ 'use strict';;{step}; while (x) {{{step};do {{{step};x--;}} while (x > 9);}}"
        f" for (;;) {{;{step}; break }} return y => ({step},z => ({step},y)) }}\n"
        f"if (a) for (const b of c) {{{step};b();}} else label: for (d in e) {{{step};continue label}}\n"
        f"const g = {{ h() {{;{step};}}, i: function () {{;{step}; return () => ({step},({{}})) }} }}"
    )
    assert steps.counted("function (") == "function ("


def test_a_machine_without_node_is_told_and_loses_no_tests_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "missing", lambda word: "node (nodejs)" if word == "javascript" else "")
    with pytest.raises(BadInput, match=r"generate\.tests\.languages: JavaScript .*node \(nodejs\)"):
        behaviour.observe([subject(GCD)], 4, KNOBS)
    assert behaviour.observe([subject("f(x) {\n  return x;\n}")], 4, KNOBS) == [Observed()]


@pytest.mark.toolchain
def test_a_program_that_does_not_tell_has_no_words_in_its_verdict() -> None:
    node()
    program = javascript.program([GCD], "gcd", ["12, 18"])
    loud = sandbox.Program("javascript", program.candidate, program.tests, "gcd")
    [quiet] = sandbox.run_all([loud], KNOBS.limits, 1, False, False)
    assert (quiet.verdict, quiet.detail) == ("passed", "")
    leaves = sandbox.Program("javascript", "process.exit(3)", program.tests, "f", tells=True)
    [wrong] = sandbox.run_all([leaves], KNOBS.limits, 1)
    assert wrong.verdict == "early exit"
