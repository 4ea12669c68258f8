"""What the judge is measured by: the vote, agreement, intervals, planted instances, solutions that are run."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import cohen_kappa_score

from stages.lib import params, sandbox, statistics
from stages.lib.corpus import functions
from stages.lib.errors import BadInput
from stages.lib.judging import audit, execution, panel, rates
from stages.lib.judging.panel import Ballot, rule
from stages.lib.judging.rules import load_rules
from stages.lib.tasks import unit_tests
from stages.lib.tasks.checks import Instance, run_checks
from stages.lib.tasks.definitions import load_task, load_tasks
from stages.lib.tasks.pool import seed_cases

ALL_SEEDS = audit.Audit(seeds="all", candidates=0.0)
RIGHT = ["assert candidate(1, 2) == 3", "assert candidate(0, 0) == 0"]


def ballot(*passed: bool) -> Ballot:
    return Ballot("", [rule(f"rule {i}", "judge", ok, f"{ok} of {i}") for i, ok in enumerate(passed)])


@pytest.mark.parametrize(
    ("how", "two_of_three", "one_of_two"), [("majority", True, False), ("unanimous", False, False), ("any", True, True)]
)
def test_the_vote(how: panel.Vote, two_of_three: bool, one_of_two: bool) -> None:
    [three] = panel.count_votes([ballot(True), ballot(False), ballot(True)], how)
    [two] = panel.count_votes([ballot(True), ballot(False)], how)
    assert three["passed"] == two_of_three and three["reason"] == f"{two_of_three} of 0"
    assert two["passed"] == one_of_two
    assert panel.count_votes([ballot(True, False)], how) == ballot(True, False).rulings, "one judge is its own vote"


def test_agreement_is_cohens_kappa_of_what_both_ruled_on() -> None:
    said = [True, True, False, False, True, False], [True, False, False, False, True, True]
    first, second = ({f"row {i}": ballot(ok, True) for i, ok in enumerate(words)} for words in said)
    found = panel.agreement([first, second | {"row 9": ballot(True, True)}])
    assert found[0] == {"judges": [1, 2], "rule": "rule 0", "rows": 6, "agree": 0.6667, "kappa": 0.3333}
    assert found[0]["kappa"] == pytest.approx(cohen_kappa_score(*said), abs=1e-4)
    assert found[1] == {"judges": [1, 2], "rule": "rule 1", "rows": 6, "agree": 1.0, "kappa": None}


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263 and 0 of 20.
    assert rates.interval(81, 263) == [0.2553, 0.3662]
    assert rates.interval(0, 20) == [0.0, 0.1611]
    assert rates.interval(0, 0) is None


def plant(
    kind: str, breaks: list[str], fits: bool, *judged: bool, task: str = "t", drawn: bool = True
) -> dict[str, Any]:
    """A plant that a check ruled on, and the judge's rules `matches` and `overall` if it was asked."""
    said = zip(("matches", "overall"), judged, strict=False)
    rulings = [rule("fits", "check", fits, ""), *(rule(name, "judge", passed, "") for name, passed in said)]
    return {"task": task, "kind": kind, "breaks": breaks, "rulings": rulings, "drawn": drawn}


PLANTED = [
    plant("leak", ["fits", "overall"], False),  # caught by a check, so the judge is not asked
    plant("leak", ["fits", "overall"], False, drawn=False),
    plant("leak", ["fits", "overall"], True, True, True),  # missed by all
    plant("swap", ["matches", "overall"], True, False, False),
    plant("swap", ["matches", "overall"], True, True, False),  # caught, but not by the rule that it breaks
    plant("swap", ["matches", "overall"], True, drawn=False),  # unknown: nobody asked the judge
    plant("good", [], True, False, True),  # a false alarm
    plant("good", [], True, True, True),
    plant("good", [], True, drawn=False),
]


def test_recall_and_false_alarms_by_hand() -> None:
    found = {(row["task"], row["rule"]): row for row in rates.recall_and_alarms(PLANTED)}

    def counts(rule: str) -> tuple[int, ...]:
        return tuple(found["t", rule][key] for key in ("caught", "bad", "alarms", "good"))

    assert counts("fits") == (2, 3, 0, 3), "a check rules on all plants"
    assert counts("matches") == (1, 2, 1, 2), "a rule of the judge on those that it was asked about"
    assert counts("overall") == (2, 3, 0, 2)
    assert counts("any check") == (2, 6, 0, 3)
    assert counts("any rule of the judge") == (2, 3, 1, 2)
    assert counts("any rule") == (3, 4, 1, 2), "checks and judge on those drawn"
    for task, name in found:
        assert found[task, name] == {**found["all tasks", name], "task": task}, "there is one task"
    assert found["t", "any rule"]["recall_95"] == rates.interval(3, 4)
    assert found["t", "any rule"]["false_alarms_95"] == rates.interval(1, 2)
    totals = rates.totals(PLANTED)
    gates = {"checks": "any check", "judge": "any rule of the judge", "together": "any rule"}
    for key, gate in gates.items():
        assert totals[key].items() <= found["all tasks", gate].items(), key


def test_a_rule_is_pooled_over_the_tasks_that_have_it() -> None:
    other = [plant("swap", ["matches"], True, False, True, task="u"), plant("good", [], True, True, True, task="u")]
    third = {**plant("good", [], True, task="v"), "rulings": [rule("else", "judge", False, "")]}
    rows = rates.recall_and_alarms([*PLANTED, *other, third])
    [pooled] = [row for row in rows if (row["task"], row["rule"]) == ("all tasks", "matches")]
    assert [pooled[key] for key in ("caught", "bad", "alarms", "good")] == [2, 3, 1, 3]


def test_the_outcome_of_each_kind_of_plant_by_hand() -> None:
    keys = ("planted", "by_checks", "asked", "by_judge", "drawn", "by_either")
    found = {row["plant"]: tuple(row[key] for key in keys) for row in rates.recall_by_kind(PLANTED)}
    assert found == {"leak": (3, 2, 1, 0, 2, 1), "swap": (3, 0, 2, 2, 2, 2), "good": (3, 0, 2, 1, 2, 1)}


def test_what_the_counts_of_a_rule_show() -> None:
    # Newcombe 1998, table II, method 10: (a) 56/70 - 48/80, (d) 5/56 - 0/29, (h) 10/10 - 0/10.
    assert statistics.difference(56, 70, 48, 80) == [0.0524, 0.3339]
    assert statistics.difference(5, 56, 0, 29) == [-0.0381, 0.1926]
    assert statistics.difference(10, 10, 0, 10) == [0.6075, 1.0]
    assert statistics.difference(1, 1, 0, 0) is None
    assert rates.trust(bad=13, caught=11, good=7, alarms=1) == "better than chance"
    assert rates.trust(bad=13, caught=4, good=7, alarms=1) == "not told from chance"
    assert rates.trust(bad=13, caught=1, good=7, alarms=6) == "worse than chance"
    assert rates.trust(bad=2, caught=2, good=1, alarms=0) == "too few plants"
    assert rates.trust(bad=2, caught=2, good=2, alarms=0) == "better than chance"
    assert rates.trust(bad=0, caught=0, good=7, alarms=0) == "not tried" == rates.trust(3, 3, 0, 0)


def test_checks_and_judge_have_a_rate_each() -> None:
    def row(task: str, check: bool, *judged: bool) -> dict[str, Any]:
        rulings = [rule("fits", "check", check, ""), *(rule("overall", "judge", one, "") for one in judged)]
        return {"task": task, "language": "Go", "rulings": rulings, "passed": panel.stands(rulings)}

    rows = [row("t", True, True), row("t", True, True), row("t", True, False), row("u", False), row("u", False, True)]
    found = rates.count(rows)
    assert found["checks"] == {"rows": 5, "passed": 3, "pass_rate": 0.6}
    assert found["judge"] == {"rows": 3, "passed": 2, "pass_rate": 0.6667}
    assert (found["passed"], found["pass_rate"], found["failed_checks"]) == (2, 0.4, 2)
    assert found["by_task"]["t"] == {"rows": 3, "passed_checks": 3, "passed": 2, "pass_rate": 0.6667}
    assert found["by_task"]["u"] == {"rows": 2, "passed_checks": 0, "passed": 0, "pass_rate": 0.0}


def failed_checks(row: dict[str, Any]) -> set[str]:
    checks, subject = load_rules(row["task"]).checks, Instance.of(row, load_task(row["task"]).takes_input)
    return {name for name, fault in run_checks(checks, subject) if fault}


def test_the_seeds_plants_are_what_they_say() -> None:
    rows = audit.plants([], ALL_SEEDS, 1)
    by_id = {row["of"]: row for row in rows if row["kind"] == "good"}
    assert len(by_id) == sum(case.good for case in seed_cases()) and len({row["id"] for row in rows}) == len(rows)
    for task in load_tasks():
        planted = load_rules(task).plants
        assert set(planted) == {row["kind"] for row in rows if row["task"] == task} - {"good"}
        assert all(planted.values()), "a bad instance breaks a rule"
    for row in rows:
        expected = {name for name in row["breaks"] if name in load_rules(row["task"]).checks}
        assert expected <= failed_checks(row), row
        assert row["kind"] != "good" or not failed_checks(row), row
        good = by_id[row["of"]]
        changed = [key for key in ("instruction", "information", "solution") if row[key] != good[key]]
        assert len(changed) == (row["kind"] != "good"), row
        if row["kind"] == "mutated code":
            assert functions.parses(row["solution"], row["target_language"])
            lines = zip(row["solution"].split("\n"), good["solution"].split("\n"), strict=True)
            assert sum(one != other for one, other in lines) == 1, "one line, nothing else"
        if row["kind"] == "swapped solution":
            assert any(row["solution"] == other["solution"] for other in by_id.values())
            codes = [one for one in by_id.values() if "solution_parses" in load_rules(one["task"]).checks]
            alone = sum(one["target_language"] == row["target_language"] for one in codes) == 1
            assert alone or not failed_checks(row), "only the judge can see that it answers something else"


def test_candidates_are_drawn_by_their_ids_alone() -> None:
    seeds = [row for row in audit.plants([], ALL_SEEDS, 1) if row["kind"] == "good"]
    rows = [{**seeds[0], "id": f"{number:064x}"} for number in range(200)]
    some = audit.Audit(seeds=0, candidates=0.3)
    planted = audit.plants(rows, some, 1)
    drawn = {row["of"] for row in planted}
    more = {row["of"] for row in audit.plants(rows[50:], some, 2)}
    assert 30 < len(drawn) < 90 and more == drawn & {row["id"] for row in rows[50:]}
    assert audit.draw(planted, some, []) == {row["id"] for row in planted}, "the share is a draw already"
    assert audit.plants(rows, audit.Audit(seeds=0, candidates=0.0), 1) == []


def test_the_seeds_are_planted_in_the_first_round_alone() -> None:
    assert audit.plants([], audit.Audit(seeds=5, candidates=0.0), 1) == audit.plants([], ALL_SEEDS, 1)
    assert audit.plants([], ALL_SEEDS, 2) == []


def test_the_judge_is_asked_about_a_draw_in_turns() -> None:
    rows = audit.plants([], ALL_SEEDS, 1)
    free = {row["id"] for row in rows if failed_checks(row)}
    some = audit.Audit(seeds=20, candidates=0.0)
    drawn = audit.draw(rows, some, free)
    asked = [row for row in rows if row["id"] in drawn - free]
    assert len(asked) == 20 and sum(row["kind"] == "good" for row in asked) == 7
    for task in load_tasks():
        own = [row["kind"] for row in asked if row["task"] == task]
        assert "good" in own and set(own) - {"good"}, "every task has good ones and spoiled ones"
    counted = Counter((row["task"], row["kind"]) for row in rows if row["id"] in drawn and row["kind"] != "good")
    assert len(counted) == len({(row["task"], row["kind"]) for row in rows if row["kind"] != "good"})
    assert max(counted.values()) - min(counted.values()) <= 1, "no kind is ahead of another by more than a turn"
    assert audit.draw(list(reversed(rows)), some, free) == drawn, "the same whatever the order"
    assert drawn < audit.draw(rows, audit.Audit(seeds=30, candidates=0.0), free), "a larger draw only adds"
    assert len(audit.draw(rows, some, [])) == 20, "where checks spare no request, each plant is one"
    assert audit.draw(rows, ALL_SEEDS, free) == {row["id"] for row in rows}


@pytest.mark.parametrize("seeds", [True, -1, "some", 2.5])
def test_a_number_of_seeds_that_is_none_is_refused(seeds: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="seeds"):
        params.parse({"seeds": seeds, "candidates": 0.0}, audit.Audit, tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("assert candidate([1, 2]) == sorted([2, 1])", ""),
        ("assert candidate('a b') == 'A B'.lower().split()", ""),
        ("assert candidate(2) == [x * x for x in range(2)]", ""),
        ("assert candidate(", "it is not Python"),
        ("import os", "it is not one assert"),
        ("assert candidate(1) == 1; assert True", "it is not one assert"),
        ("assert 1 == 1", "it does not call candidate"),
        ("assert candidate(1) == open('x')", "it uses open"),
        ("assert candidate(1) == __import__('os')", "it uses __import__"),
        ("assert candidate(1).__class__ == int", "it uses .__class__"),
        ("assert candidate((x for x in [1]).gi_frame) == 1", "it uses .gi_frame"),
    ],
)
def test_only_plain_asserts_are_run(line: str, fault: str) -> None:
    found = unit_tests.fault_of(line)
    assert found.startswith(fault) if fault else not found
    assert unit_tests.usable({"tests": [line, *RIGHT]}) == ([line] if not fault else []) + RIGHT


def test_too_few_tests_are_none() -> None:
    assert unit_tests.usable({"tests": [RIGHT[0], RIGHT[0], "nonsense"]}) == []
    assert unit_tests.usable(None) == []


def test_which_functions_can_be_called_by_themselves() -> None:
    assert unit_tests.entry_point("def add(a, b):\n    return a + b", "Python") == "add"
    for code in ("def add(self, b):\n    return b", "async def add(a):\n    return a", "x = 1", "def f(:"):
        assert unit_tests.entry_point(code, "Python") == ""
    assert unit_tests.entry_point("function add(a, b) { return a + b; }", "JavaScript") == "add"
    with pytest.raises(BadInput, match=r"generate\.tests\.languages: 'Ruby' cannot be run; known: Python"):
        unit_tests.check_languages(["Python", "Ruby"])


@pytest.fixture
def knobs() -> sandbox.Execution:
    try:
        sandbox.isolation()
    except BadInput as error:
        pytest.skip(str(error))
    limits = sandbox.Limits(wall_s=60.0)
    return sandbox.Execution(limits=limits, workers=2, allow_weak_isolation=False)


def candidate(task: str, solution: str, information: str, tests: list[str], language: str = "Python") -> dict[str, Any]:
    languages = {"language": language, "target_language": language}
    own = {"id": f"{task}{solution}{information}{tests}", "solution": solution, "information": information}
    return {**own, "task": task, "tests": tests, **languages}


def test_solutions_are_run_and_must_be_told_apart_from_what_is_wrong(knobs: sandbox.Execution) -> None:
    right = "def add(a: Number, b: Number) -> Number:\n    return a + b"
    wrong = right.replace("+", "-")
    nothing_said = ["assert candidate(1, 2) == candidate(1, 2)", "assert candidate(0, 0) == candidate(0, 0)"]
    weak = ["assert candidate(1, 0) == 1", "assert candidate(0, 0) == 0"]
    rows = {
        "passed": candidate("code generation", right, "", RIGHT),
        "wrong answer": candidate("code generation", wrong, "", RIGHT),
        "exception": candidate("code generation", right.replace("a + b", "a + c"), "", RIGHT),
        "vacuous tests": candidate("code generation", right, "", nothing_said),
        "input passes too": candidate("code repair", right, wrong, weak),
    }
    repaired = candidate("code repair", right, wrong, RIGHT)
    found = execution.run_all([*rows.values(), repaired, candidate("code generation", right, "", [])], knobs)
    assert {row["id"]: word for word, row in rows.items()} | {repaired["id"]: "passed"} == found


ADD = {
    "JavaScript": ("function add(a, b) {\n  return a + b;\n}", "c"),
    "Java": ("@Override\nprivate static int add(int a, final int b) {\n    return a + b;\n}", "c"),
    "Go": ("func add(a, b int) int {\n\treturn a + b\n}", "c"),
    "C++": ("static int add(const int &a, int b) {\n    return a + b;\n}", "c"),
    "Rust": ("pub fn add(a: i64, b: i64) -> i64 {\n    a + b\n}", "c"),
}
TYPED = {  # joins the words, longest first where `order` says so, that are no longer than `most`
    "JavaScript": """function pick(words, most, order) {
  const kept = words.filter((word) => word.length <= most);
  if (order) kept.sort((a, b) => b.length - a.length);
  return kept;
}""",
    "Java": """public List<String> pick(String[] words, double most, boolean order) {
    List<String> kept = Arrays.stream(words).filter(w -> w.length() <= most).collect(Collectors.toList());
    if (order) kept.sort((a, b) -> b.length() - a.length());
    return kept;
}""",
    "Go": """func pick(words []string, most float64, order bool) []string {
	var kept []string
	for _, word := range words {
		if float64(len(strings.TrimSpace(word))) <= most {
			kept = append(kept, word)
		}
	}
	if order {
		sort.SliceStable(kept, func(i, j int) bool { return len(kept[i]) > len(kept[j]) })
	}
	return kept
}""",
    "C++": """std::vector<std::string> pick(std::vector<std::string>& words, double most, bool order) {
    std::vector<std::string> kept;
    for (const auto& word : words) if (word.size() <= most) kept.push_back(word);
    if (order) stable_sort(kept.begin(), kept.end(), [](auto& a, auto& b) { return a.size() > b.size(); });
    return kept;
}""",
    "Rust": """fn pick(words: &[String], most: f64, order: bool) -> Vec<String> {
    let mut kept: Vec<String> = words.iter().filter(|w| (w.len() as f64) <= most).cloned().collect();
    if order { kept.sort_by_key(|w| std::cmp::Reverse(w.len())); }
    kept
}""",
}
PICKED = [
    "assert candidate(['a', 'bbb', 'cccc'], 3, True) == ['bbb', 'a']",
    "assert candidate(['a', 'bb', 'ccc'], 2.5, False) == ['a', 'bb']",
    "assert candidate([], 2, False) == []",
    "assert candidate({1: 2}, 2, False) == []",
]


@pytest.mark.toolchain
@pytest.mark.parametrize("language", ADD)
def test_solutions_in_every_language_are_run(language: str, knobs: sandbox.Execution) -> None:
    word = unit_tests.languages()[language]["sandbox"]
    if reason := sandbox.missing(word):
        pytest.skip(reason)
    right, unknown = ADD[language]
    wrong, weak = right.replace("a + b", "a - b"), ["assert candidate(1, 0) == 1", "assert candidate(0, 0) == 0"]
    typed, picked = TYPED[language], PICKED[: 3 if language == "JavaScript" else 4]  # the last fits no types
    rows = {
        "input passes too": candidate("code repair", right, wrong, weak, language),
        "repaired": candidate("code repair", right, wrong, RIGHT, language),
        "typed": candidate("code generation", typed, "", picked, language),
        "typed wrong": candidate("code generation", typed.replace("<= most", "< most"), "", picked, language),
        "does not fit": candidate("code generation", right, "", ["assert candidate('x') == {}"] * 3, language),
        "fault": candidate("code generation", right.replace("a + b", f"a + {unknown}"), "", RIGHT, language),
    }
    found = execution.run_all(list(rows.values()), knobs)
    said = {name: found.get(row["id"]) for name, row in rows.items()}
    fault = said.pop("fault")
    assert fault in ("exception", "compile error"), "it names a variable that is not there"
    assert said == {
        "repaired": "passed",
        "typed": "passed",
        "typed wrong": "wrong answer",
        "input passes too": "input passes too",
        "does not fit": None,
    }


@pytest.mark.parametrize("value", ["{'x'}", "b'x'", "2j", "..."])
def test_a_value_that_javascript_cannot_say_skips_its_line(value: str) -> None:
    unsaid = [f"assert candidate({value}) == 1", f"assert candidate(1) == {value}"]
    lines = [*unsaid, "assert candidate([1]) == {'a': (1,)}"]
    assert unit_tests.runnable("function f(a) { return a; }", "JavaScript", lines)[2] == lines[2:]


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("Java", "int f(Map<String, Foo> all) { return 1; }"),
        ("Go", "func (s *Store) f(a int) (int, error) { return a, nil }"),
        ("C++", "template <class T> T f(T a) { return a; }"),
        ("Rust", "fn f(&self, a: i32) -> i32 { a }"),
    ],
)
def test_a_function_of_other_types_gets_no_tests(language: str, code: str) -> None:
    assert unit_tests.entry_point(code, language) == ""


def test_a_language_that_the_sandbox_does_not_run_is_named(
    knobs: sandbox.Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(unit_tests.languages()["Python"], "sandbox", "cobol")
    row = candidate("code generation", "def add(a, b):\n    return a + b", "", RIGHT)
    with pytest.raises(BadInput, match="language 'cobol': the sandbox runs python"):
        execution.run_all([row], knobs)


def test_a_kind_of_plant_that_nobody_can_make_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(load_rules("code repair").plants, "haunted code", ["has_a_bug"])
    with pytest.raises(BadInput, match="task code repair: plants: no kind 'haunted code'; known: mutated code"):
        audit.plants([], ALL_SEEDS, 1)
