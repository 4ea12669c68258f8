"""Task definitions, draws, pools, prompts and checks."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stages.lib import templates
from stages.lib.errors import BadInput
from stages.lib.judging import rules
from stages.lib.tasks import definitions
from stages.lib.tasks.checks import Instance, run_checks
from stages.lib.tasks.definitions import load_task, load_tasks
from stages.lib.tasks.draws import draw_target, draw_task, rendezvous
from stages.lib.tasks.pool import Case, draw_examples, frozen, seed_cases
from stages.lib.tasks.prompts import answer_schema, documentation, fill, generation_messages, purpose, summary
from stages.lib.tasks.slices import read_round, take_slice

MIX = {"code generation": 57.0, "code summarization": 15.9, "code repair": 15.7, "code translation": 11.2}
CODE = "def double(values):\n    total = sum(values)\n    return 2 * total"


def row(**changes: Any) -> Instance:
    values: dict[str, Any] = {
        "instruction": "Write a Python function that returns twice the sum of a list of numbers.",
        "information": "",
        "solution": CODE,
        "language": "Python",
        "target_language": "Python",
        "takes_input": False,
        "examples": (),
    }
    return Instance(**{**values, **changes})


def faults(subject: Instance, *names: str) -> dict[str, str]:
    return {name: fault for name, fault in run_checks(list(names), subject) if fault}


def test_the_tasks_are_the_papers() -> None:
    assert set(load_tasks()) >= set(MIX)
    assert rules.load_all().keys() == load_tasks().keys()


def test_every_good_seed_passes_its_tasks_checks() -> None:
    pool = [case for case in seed_cases() if case.good]
    for case in pool:
        task = load_task(case.task)
        keys = fill(task, case.code, case.answer)
        languages = {"language": case.language, "target_language": case.target_language}
        subject = Instance.of({**keys, **languages}, task.takes_input)
        assert not [fault for _, fault in run_checks(rules.load_rules(case.task).checks, subject) if fault], case


def test_every_good_seed_fits_its_schema() -> None:
    for case in seed_cases():
        task = load_task(case.task).in_style(case.style)
        name = "clamp" if case.style == "named" else ""
        schema = answer_schema(task, case.code, case.language, case.target_language, name)
        if case.good:
            writes = load_task(case.task).writes
            Draft202012Validator(schema).validate({key: case.answer[key] for key in writes})


def test_every_style_has_a_seed_and_every_task_with_styles_has_seeds_without() -> None:
    for task in load_tasks().values():
        assert {seed.style for seed in task.seeds.good} == {*task.styles, ""}, task.name


def test_a_rows_style_shapes_its_prompt_and_schema() -> None:
    task = load_task("code generation").in_style("named")
    schema = answer_schema(task, CODE, "C++", "C++", "twice")
    assert r"C\+\+ (function|method) (named|called) twice that" in schema["properties"]["instruction"]["pattern"]
    shown = draw_examples(frozen([], 8, 800, styled=True)[0], "row", 1, task.name, "", good=2, bad=0)
    messages = generation_messages(task, CODE, "", "C++", "C++", "named", shown)
    styles = [message["content"].rpartition("Style: ")[2] for message in messages if message["role"] == "user"]
    assert styles == [task.styles[name].ask for name in (*(case.style for case in shown), "named")]


def test_tasks_are_drawn_by_id_in_the_papers_mix() -> None:
    drawn = Counter(draw_task(f"row {number}", 1, MIX) for number in range(20_000))
    for task, share in MIX.items():
        assert drawn[task] / 200 == pytest.approx(100 * share / sum(MIX.values()), abs=1.0)
    assert draw_task("row 5", 1, MIX) == draw_task("row 5", 1, MIX)
    assert {draw_task(str(n), 1, {"code repair": 1.0, "code translation": 0.0}) for n in range(99)} == {"code repair"}
    with pytest.raises(BadInput, match="shares must not be negative"):
        draw_task("x", 1, {"code repair": 0.0})


def test_a_target_language_is_never_the_source() -> None:
    drawn = Counter(draw_target(str(number), 1, ["Python", "Java", "Go"], "Java") for number in range(1000))
    assert set(drawn) == {"Python", "Go"} and min(drawn.values()) > 400


def test_an_example_more_changes_few_draws() -> None:
    items = {f"case {number}": number for number in range(20)}
    before = [rendezvous(f"row {number}", 1, items, 2) for number in range(300)]
    after = [rendezvous(f"row {number}", 1, {**items, "case 20": 20}, 2) for number in range(300)]
    assert 0 < sum(a != b for a, b in zip(before, after, strict=True)) < 75


def test_a_pool_is_balanced_capped_and_topped_up_with_seeds() -> None:
    seed = next(case for case in seed_cases() if case.task == "code repair" and case.good)
    found = [Case(**{**seed.__dict__, "id": f"case {n}", "origin": "round 1"}) for n in range(9)]
    long = Case(**{**seed.__dict__, "id": "long", "code": "x" * 9999})
    pool, digest = frozen([*found, long], each=4, most_characters=800, styled=False)
    counts = Counter((case.task, case.good, case.origin) for case in pool)
    assert counts["code repair", True, "round 1"] == 4 and counts["code repair", True, "seed"] == 0
    assert counts["code repair", False, "seed"] >= 1 and counts["code generation", True, "seed"] == 4
    assert frozen([*found[::-1], long], each=4, most_characters=800, styled=False)[1] == digest


def test_repair_plants_the_bug_in_the_line_that_the_teacher_chose() -> None:
    task = load_task("code repair")
    schema = answer_schema(task, CODE, "Python", "Python")
    assert schema["properties"]["line"]["enum"] == ["total = sum(values)", "return 2 * total"]
    answer = {"line": "return 2 * total", "broken_line": "return 3 * total", "instruction": "Fix this."}
    keys = fill(task, CODE, answer)
    assert keys["information"] == CODE.replace("2", "3") and keys["solution"] == CODE
    assert keys["task_name"] == "code repair"


def test_the_prompt_shows_examples_documentation_and_the_question() -> None:
    pool, _ = frozen([], each=8, most_characters=800, styled=False)
    examples = draw_examples(pool, "row", 1, "code translation", "Python", good=1, bad=1)
    task = load_task("code translation")
    messages = generation_messages(task, CODE, "Double it.\n\nMore.", "Python", "Go", "", examples)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert "Bad answer" in messages[0]["content"] and json.loads(messages[2]["content"]) == examples[0].answer
    assert CODE in messages[3]["content"] and "Its documentation: Double it. More.\n" in messages[3]["content"]
    assert "Translate this Python function to Go" in messages[3]["content"]


def test_a_prompt_shows_the_documentation_up_to_its_examples() -> None:
    text = "Adds two.\n\nArgs:\n    a: A number.\n\nExamples:\n    >>> add(1, 2)\n    3"
    assert documentation(text) == "Adds two. Args: a: A number."
    assert documentation("Gives a :class:`~a.Date` or {@code null}, ``x``.") == "Gives a a.Date or null, x."
    assert documentation("One. " * 100) == ("One. " * 60).strip()
    assert documentation("word " * 100) == ("word " * 60).strip() and documentation("") == ""


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Adds two. And more.", "Adds two."),
        ("Adds\n  two\n\nThree.", "Adds two"),
        ("Adds two\n@param a one", "Adds two"),
        ("@param {number} a\n@returns {number}", ""),
        ("{@inheritDoc}", ""),
        (":type a: int", ""),
        ("<summary>\nAdds two.\n</summary>", "Adds two."),
        ("x" * 300, ""),
        ("", ""),
    ],
)
def test_the_summary_of_a_docstring(docstring: str, sentence: str) -> None:
    assert summary(docstring) == sentence


def test_numbers_of_a_call_are_no_repetition() -> None:
    said = "This Python function should sort a list. f([1, 1, 2, 2, 3]) returns [3, 1, 1, 2, 2, 1, 1, 2, 2, 3]. Fix it."
    assert not faults(Instance(said, "", "", "Python", "Python", True, ()), "no_repetition")


@pytest.mark.parametrize(
    ("check", "changes", "fault"),
    [
        ("fields_present", {"instruction": "  "}, "instruction is empty"),
        ("fields_present", {"takes_input": True}, "information is empty"),
        ("instruction_names_language", {"instruction": "Write a function."}, "does not name Python"),
        (
            "instruction_names_language",
            {"language": "Java", "target_language": "Java", "instruction": "Write JavaScript."},
            "does not name Java",
        ),
        (
            "instruction_names_language",
            {"instruction": "Rewrite it in Python.", "target_language": "C++"},
            "does not name C++",
        ),
        ("instruction_is_prose", {"instruction": "Do it now."}, "fewer than 5 words"),
        ("instruction_is_prose", {"instruction": "Write a Python function that can be"}, "breaks off"),
        ("instruction_is_prose", {"instruction": "Return the keys of all input mappings, ."}, "breaks off"),
        ("instruction_is_prose", {"instruction": "Return the item that satisfies the given,."}, "breaks off"),
        ("instruction_is_prose", {"instruction": "Return the nodes and, optionally, the?"}, "breaks off"),
        ("instruction_is_prose", {"instruction": "Return the first key that is less than or equal to."}, "breaks off"),
        ("instruction_is_prose", {"instruction": "Write a Python function that sorts @return array."}, "'@return'"),
        ("instruction_is_prose", {"instruction": "Write what shortens a path}**Note:** it may not."}, "'**Note:'"),
        ("instruction_is_prose", {"instruction": "Count the paths through a grid of size m×."}, "breaks off"),
        ("instruction_is_prose", {"instruction": "Convert bytes to a format that people can read (e."}, "breaks off"),
        (
            "solution_is_prose",
            {"solution": "It returns 'array' if the input is an array, and 'date' if it is a '."},
            "breaks off",
        ),
        (
            "no_repetition",
            {"instruction": "Encode it only if it was one string before, only if it was one string before."},
            "repeats",
        ),
        ("instruction_says_what_to_do", {"instruction": "Write one that takes an array and an x."}, "not what it does"),
        ("instruction_stands_alone", {"instruction": "Write it as in its documentation."}, "'documentation'"),
        ("instruction_stands_alone", {"instruction": "Write one with the types as specified."}, "'as specified'"),
        ("instruction_stands_alone", {"instruction": "Write what returns the 后面 item."}, "another script"),
        (
            "solution_is_prose",
            {"solution": "It returns x == 1 for every x that one could ever wish for."},
            "code in it",
        ),
        ("no_repetition", {"instruction": "a list of lists of a list of lists of a list of lists."}, "repeats"),
        (
            "not_an_example",
            {"examples": ("Write a Python function that returns twice the sum of a list of integers.",)},
            "an example in the prompt",
        ),
        ("no_code_in_instruction", {"instruction": f"Write this: {CODE}"}, "gives away the line"),
        ("solution_parses", {"solution": "def f(:"}, "does not parse as Python"),
        ("solution_parses", {"target_language": "Go"}, "does not parse as Go"),
        ("code_only", {"solution": f"```\n{CODE}\n```"}, "code fence"),
        ("code_only", {"solution": f"Here is the function that you want:\n{CODE}"}, "a sentence before or after"),
        (
            "returns_what_it_says",
            {
                "instruction": "Write a Python function that flattens an iterable and returns a new list.",
                "solution": "def f(values):\n    for one in values:\n        yield from one",
            },
            "is a generator, but the instruction says 'returns a new list'",
        ),
        ("imports_present", {"solution": "def f(p):\n    return os.path.join(p, 'a')"}, "uses os without importing"),
        ("solution_not_a_copy", {"information": CODE}, "copies the information"),
        ("information_differs", {"information": CODE.replace("2 * total", "2*total")}, "has no bug"),
    ],
)
def test_a_check_finds_its_fault_and_passes_a_good_row(check: str, changes: dict[str, Any], fault: str) -> None:
    assert fault in faults(row(**changes), check).get(check, "")
    good = {"information": "other words"} if check == "information_differs" else {}
    if check == "solution_is_prose":
        good = {"solution": "Adds up the numbers and returns twice their sum to the caller."}
    assert not faults(row(**good), check)


def test_imports_that_are_there_are_seen() -> None:
    assert not faults(row(solution="def f(p):\n    import os.path\n    return os.path.join(p)"), "imports_present")
    assert not faults(row(solution="def f(string):\n    return string.lower()"), "imports_present")


@pytest.mark.parametrize(
    ("instruction", "solution"),
    [
        ("Write a Python function that returns a list.", "def f(a):\n    def g():\n        yield a\n    return [*g()]"),
        ("Write a Python function that returns a list.", "def f(a):\n    return [a]"),
        ("Write a Python function that takes a list and yields pairs as a tuple.", "def f(a):\n    yield a"),
        ("Write a Python function that walks through a list.", "def f(a):\n    yield from a"),
        ("Write a Python function that returns a list.", "def f(a:"),
    ],
)
def test_what_may_yield(instruction: str, solution: str) -> None:
    assert not faults(row(instruction=instruction, solution=solution), "returns_what_it_says")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("reask_on: [", "reask_on: [fields_presnt, ", "repair.yaml: reask_on: no check 'fields_presnt'"),
        ("definition:", "definiton:", "repair.yaml: definition: Field required"),
        (
            '        broken_line: "return sum(values) / (len',
            '        bug: "return sum(values) / (len',
            "an answer has the keys",
        ),
        ("reask_on: [instruction_names", "reask_on: [instrction_names", "no check 'instrction_names_language'"),
        ("requirements:\n", "requirements: [\n", "is not valid YAML"),
    ],
)
def test_a_bad_task_file_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        load_tasks(changed(definitions.FOLDER, old, new, tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  - fields_present", "  - fields_presnt", "repair.yaml: checks: no check 'fields_presnt'"),
        ("plants:", "plant:", "repair.yaml: plants: Field required"),
        ("  - rule: has_a_bug", "  - rule: has_bug", "the rulings are"),
        ("judge:\n", "judge: [\n", "is not valid YAML"),
        ("[code_only]", "[code_alone]", "plants.prose in code: no rule 'code_alone'; known: fields"),
        ("task: code repair", "task: code repairs", "task 'code repair' needs a file in .*tasks/definitions and"),
    ],
)
def test_a_bad_file_of_rules_is_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        rules.load_all(changed(rules.FOLDER, old, new, tmp_path))


def changed(source: Path, old: str, new: str, tmp_path: Path) -> Path:
    """A copy of the YAML files of `source`, in whose repair.yaml `old` is `new`."""
    folder = tmp_path / "copy"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__", "unit_tests"))
    file = folder / "repair.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return folder


def test_an_unknown_variable_in_a_template_is_named() -> None:
    with pytest.raises(BadInput, match="'langage' is undefined"):
        templates.expand("Write {{ langage }}", language="Python")


def test_an_unknown_task_is_named() -> None:
    with pytest.raises(BadInput, match="no task 'code review'; choose one of code generation"):
        load_task("code review")


@pytest.mark.parametrize("key", ["", "0", "two", "-1"])
def test_a_round_is_a_number(key: str) -> None:
    with pytest.raises(BadInput, match="generate needs a round number"):
        read_round("generate", key)


def test_a_coreset_too_small_for_all_rounds_is_shared_out_evenly() -> None:
    chosen = [{"id": str(n), "code": "x", "docstring": "Doc."} for n in range(7)]
    taken = [take_slice(chosen, number, 3, 100, 100, True)[0] for number in (1, 2, 3)]
    assert [[f["id"] for f in part] for part in taken] == [["0", "1", "2"], ["3", "4", "5"], ["6"]]


def test_slices_follow_one_another_and_say_what_they_left_out() -> None:
    chosen = [{"id": str(n), "code": "x" * (3000 if n % 3 == 0 else 30), "docstring": "Doc."} for n in range(12)]
    first, aside = take_slice(chosen, 1, rounds=2, rows=3, most_tokens=100, documented=True)
    second, more = take_slice(chosen, 2, rounds=2, rows=3, most_tokens=100, documented=True)
    assert [f["id"] for f in first + second] == ["1", "2", "4", "5", "7", "8"]
    assert aside + more == [{"id": n, "reason": "too long", "tokens": 1000} for n in ("0", "3", "6")]
    assert take_slice([{**chosen[1], "docstring": ""}], 1, 1, 3, 100, True)[1][0]["reason"] == "no documentation"


SOURCE = """def tally(words, least):
    counts = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return sorted(word for word, count in counts.items() if count >= least)"""
WHOLE = """function tally(words, least) {
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) || 0) + 1);
  return [...counts.keys()].filter(word => counts.get(word) >= least).sort();
}"""


def translated(solution: str, language: str = "JavaScript", source: str = SOURCE) -> Instance:
    return row(information=source, solution=solution, target_language=language, takes_input=True)


@pytest.mark.parametrize(
    ("solution", "language", "fault"),
    [
        (WHOLE, "JavaScript", ""),
        ("function tally(words, least) {\n}", "JavaScript", "empty or returns a constant"),
        ("function tally(words, least) {\n  return [];\n}", "JavaScript", "empty or returns a constant"),
        ("function tally(words, least) {\n  // TODO: count\n  return words;\n}", "JavaScript", "it says 'TODO'"),
        ('function tally(words) {\n  throw new Error("Not implemented");\n}', "JavaScript", "'Not implemented'"),
        ("function tally(words) {\n  return words;\n}", "JavaScript", "much shorter than the input"),
        ("def tally(words, least):\n    pass", "Python", "empty or returns a constant"),
        ("def tally(words, least):\n    ...", "Python", "empty or returns a constant"),
        ("public List<String> tally(List<String> words) {\n    return null;\n}", "Java", "empty or returns a constant"),
        ("func tally(words []string, least int) []string {\n\treturn nil\n}", "Go", "empty or returns a constant"),
    ],
)
def test_a_stub_is_no_translation(solution: str, language: str, fault: str) -> None:
    found = faults(translated(solution, language), "solution_is_no_stub").get("solution_is_no_stub", "")
    assert fault in found and bool(fault) == bool(found)


def test_what_the_source_puts_off_or_shortens_may_be_so_in_its_translation() -> None:
    source = "def size(self):\n    raise NotImplementedError"
    assert not faults(
        translated('function size() { throw new Error("not implemented"); }', source=source), "solution_is_no_stub"
    )
    assert not faults(
        translated("function one() { return 1; }", source="def one():\n    return 1"), "solution_is_no_stub"
    )


@pytest.mark.parametrize(
    ("solution", "language", "fault"),
    [
        (WHOLE, "JavaScript", ""),
        ("function tally(words) {\n  return countWords(words);\n}", "JavaScript", "uses countWords"),
        ("def tally(words):\n    return Counter(words)", "Python", "uses Counter"),
        ("from collections import Counter\n\ndef tally(words):\n    return Counter(words)", "Python", ""),
        ("def f(x):\n    return g(x)\n\ndef g(x):\n    return x", "Python", ""),
        ("public int tally(int a) {\n    return helper(a);\n}", "Java", "uses helper"),
        ("public int tally(List<Integer> a) {\n    return new ArrayList<>(a).size();\n}", "Java", ""),
        ("func tally(a string) int {\n\treturn helper(a) + len(strings.TrimSpace(a))\n}", "Go", "uses helper"),
        ("func tally(a string) int {\n\treturn len(strings.TrimSpace(a))\n}", "Go", ""),
    ],
)
def test_a_translation_calls_only_what_is_defined(solution: str, language: str, fault: str) -> None:
    found = faults(translated(solution, language), "names_are_defined").get("names_are_defined", "")
    assert fault in found and bool(fault) == bool(found)


def test_what_the_source_does_not_define_its_translation_need_not() -> None:
    source = "def total(items):\n    return add_all(items)"
    assert not faults(translated("function total(items) { return addAll(items); }", source=source), "names_are_defined")


@pytest.mark.parametrize(
    ("docstring", "said"),
    [
        ("The :func:`greatest` ``divisor``,\n\nMore.", "The greatest divisor."),
        ("**[Logistic function](https://example.org/a_b)** of **all** values", "Logistic function of all values."),
        ("Return s, d such that 2**s * d == n", "Return s, d such that 2**s * d == n."),
        ("#endregion\n#region dist/hoursToMinutes.js", ""),
    ],
)
def test_an_instruction_quotes_a_sentence_without_markup(docstring: str, said: str) -> None:
    assert purpose(docstring) == said
