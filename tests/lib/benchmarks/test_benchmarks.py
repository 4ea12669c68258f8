"""HumanEvalPack in six languages and MBPP, run by the machine's own toolchains behind the real walls."""

import ast
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import REPOSITORY

from stages.lib import sandbox
from stages.lib.benchmarks import extraction, packs, prompting, scoring, suites
from stages.lib.errors import BadInput
from stages.lib.sandbox import kits, languages

LANGUAGES = ("python", "javascript", "java", "go", "cpp", "rust")
FULL = os.environ.get("TIDEMILL_FULL") == "1"  # all 164 of each language instead of a seeded sample
FLAKY = {"Go/95", "Rust/32"}  # in their canonical form: map order, a random Newton search
CEILINGS = {  # what the published harness destroys of the canonical solutions
    "cpp": {"CPP/38"},
    "go": {"Go/10", "Go/32", "Go/38", "Go/50", "Go/72", "Go/90", "Go/158"},
    "rust": {"Rust/137", "Rust/145"},
}
SharedData = Callable[[str], Path]


def load(name: str, shared_data: SharedData) -> suites.Benchmark:
    folder = "mbpp" if name == "mbpp" else "humanevalpack"
    benchmark = suites.load(name, shared_data(folder).parent)
    if reason := sandbox.missing(benchmark.language):
        pytest.skip(reason)
    return benchmark


def verdicts(benchmark: suites.Benchmark, field: str, mode: extraction.Mode, task_ids: list[str]) -> dict[str, str]:
    samples = []
    for task_id in task_ids:
        problem = benchmark.problems[task_id]
        start = extraction.line_break(problem) if mode == "compat" else ""
        text = extraction.program(benchmark, problem, start + getattr(problem, field), "completion", mode)
        samples.append(scoring.Sample(task_id, 0, text))
    settings = scoring.Settings(sandbox.Limits(), (1,), 1000, 0, 2, mode=mode)
    outcomes = scoring.run(benchmark, samples, settings)
    return {task_id: outcome.verdict for task_id, outcome in zip(task_ids, outcomes, strict=True)}


def some(benchmark: suites.Benchmark, count: int, always: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    every = list(benchmark.problems)
    return every if FULL else sorted({*random.Random(0).sample(every, count), *always})


@pytest.mark.toolchain
@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_canonical_solutions_pass_and_buggy_ones_do_not(language: str, shared_data: SharedData) -> None:
    benchmark = load(f"humanevalfix-{language}", shared_data)
    repaired = {"cpp": {"CPP/23", "CPP/38"}, "go": {"Go/27", "Go/72"}, "rust": {"Rust/50", "Rust/137"}}
    chosen = some(benchmark, 5, repaired.get(language, set()))
    right = verdicts(benchmark, "canonical_solution", "repaired", chosen)
    assert {task for task, verdict in right.items() if verdict != "passed"} <= FLAKY, right
    wrong = verdicts(benchmark, "buggy_solution", "repaired", chosen)
    assert "passed" not in wrong.values(), wrong


@pytest.mark.toolchain
@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_compat_mode_has_the_published_ceilings(language: str, shared_data: SharedData) -> None:
    benchmark = load(f"humanevalfix-{language}", shared_data)
    lost = CEILINGS.get(language, set())
    found = verdicts(benchmark, "canonical_solution", "compat", some(benchmark, 2, lost))
    assert {task for task, verdict in found.items() if verdict != "passed"} - FLAKY == lost, found


@pytest.mark.slow
def test_mbpp_reference_solutions(shared_data: SharedData) -> None:
    benchmark = load("mbpp", shared_data)
    assert len(benchmark.problems) == 500
    # A constant before the function, one named check, a class before it, objects of the candidate's class.
    chosen = some(benchmark, 10, {f"MBPP/{number}" for number in (18, 56, 349, 342, 367)})
    for mode, lost in (("repaired", set()), ("compat", {"MBPP/367"})):
        samples = [
            scoring.Sample(task, 0, extraction.finish(benchmark, p, p.canonical_solution, mode))
            for task in chosen
            for p in [benchmark.problems[task]]
        ]
        settings = scoring.Settings(sandbox.Limits(), (1,), 1000, 0, 2, mode=mode)
        outcomes = zip(chosen, scoring.run(benchmark, samples, settings), strict=True)
        assert {task for task, outcome in outcomes if outcome.verdict != "passed"} == lost


EXITS = {
    "javascript": "process.exit(0)",
    "java": "System.exit(0);",
    "go": "os.Exit(0)",
    "cpp": "exit(0);",
    "rust": "std::process::exit(0);",
}


@pytest.mark.toolchain
@pytest.mark.slow
@pytest.mark.parametrize("language", EXITS)
def test_an_early_exit_is_no_pass(language: str, shared_data: SharedData) -> None:
    benchmark = load(f"humanevalfix-{language}", shared_data)
    task_id, problem = next(iter(benchmark.problems.items()))
    body = f"{EXITS[language]}\n{problem.canonical_solution}"
    sample = scoring.Sample(task_id, 0, extraction.program(benchmark, problem, body, "completion", "repaired"))
    (outcome,) = scoring.run(benchmark, [sample], scoring.Settings(sandbox.Limits(), (1,), 1000, 0, 1))
    assert outcome.verdict == "early exit", outcome


@pytest.mark.toolchain
@pytest.mark.slow
@pytest.mark.parametrize("language", EXITS)
def test_what_does_not_compile_is_told_apart(language: str, shared_data: SharedData) -> None:
    benchmark = load(f"humanevalfix-{language}", shared_data)
    task_id = next(iter(benchmark.problems))
    settings = scoring.Settings(sandbox.Limits(), (1,), 1000, 0, 1)
    (outcome,) = scoring.run(benchmark, [scoring.Sample(task_id, 0, "no program ) at all")], settings)
    assert outcome.verdict == "compile error", outcome


@pytest.mark.toolchain
@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_a_whole_function_in_a_fence_passes(language: str, shared_data: SharedData) -> None:
    benchmark = load(f"humanevalfix-{language}", shared_data)
    task_id, problem = list(benchmark.problems.items())[3]
    answer = f"The bug is fixed:\n```\n{problem.declaration}{problem.canonical_solution}\n```\nIt now works {{well}}."
    sample = scoring.Sample(task_id, 0, extraction.program(benchmark, problem, answer, "chat", "repaired"))
    (outcome,) = scoring.run(benchmark, [sample], scoring.Settings(sandbox.Limits(), (1,), 1000, 0, 1))
    assert outcome.verdict == "passed", (outcome, sample.program)


def test_fix_shows_the_tests_and_explain_hides_the_solution(shared_data: SharedData) -> None:
    fix = suites.load("humanevalfix-go", shared_data("humanevalpack").parent)
    problem = fix.problems["Go/2"]
    text = prompting.render(fix, problem, "completion", None)
    context = f"{problem.declaration}{problem.buggy_solution}\n{problem.test}"
    assert text == f"{context}\nFix bugs in TruncateNumber.\n\n{problem.declaration}".rstrip()
    assert problem.test not in prompting.render(fix, problem, "docs", None)
    begun = prompting.render(fix, problem, "alpaca_head", None)
    assert context.strip() in begun and begun.endswith(f"### Response:\n{problem.declaration.rstrip()}")
    asked = prompting.render(fix, problem, "alpaca_signature", None)
    assert f"This Go function is meant to do this: {problem.docstring} One of its lines is wrong." in asked
    assert f"{problem.declaration}{problem.buggy_solution}".strip() in asked and problem.test not in asked
    assert asked.endswith(f"### Response:\n{problem.declaration.rstrip()}")
    explain = suites.load("humanevalexplain-go", shared_data("humanevalpack").parent)
    first = prompting.render_description(explain, problem, "completion", None)
    assert problem.canonical_solution.strip() in first and f"at most {len(problem.docstring)} characters" in first
    line = "    for !IsPalindrome(string(runes[beginning_of_suffix:])) {"
    assert line.strip() not in prompting.clean_description(explain.problems["Go/10"], f"It does {line} so.")
    second = prompting.render(explain, problem, "completion", None, "Gives the {head} of it.")
    assert second.startswith("Gives the {head} of it.\nWrite functional code in Go") and "math.Mod" not in second


def test_a_begun_response_goes_on_from_the_head() -> None:
    humaneval = suites.load("humaneval")
    for problem in humaneval.problems.values():
        prompt = prompting.render(humaneval, problem, "alpaca_head", None)
        asked = prompting.render(humaneval, problem, "alpaca", None)
        assert prompt == asked + problem.prompt.rstrip()
        written = f"\n{problem.canonical_solution}"
        program = extraction.program(humaneval, problem, written, "alpaca_head", "repaired")
        assert ast.dump(ast.parse(program)) == ast.dump(ast.parse(problem.prompt + problem.canonical_solution))
    with pytest.raises(BadInput, match="MBPP has no form 'alpaca_head'"):
        prompting._form(suites.Benchmark("MBPP", "python", "", {}, {}), "alpaca_head")


def test_a_response_begun_by_the_signature_has_the_docstring_as_its_instruction() -> None:
    humaneval = suites.load("humaneval")
    for problem in humaneval.problems.values():
        prompt = prompting.render(humaneval, problem, "alpaca_signature", None)
        asked, begun = prompt.split("\n\n### Response:\n")
        assert f"### Instruction: Write the Python function {problem.entry_point}. " in asked
        assert begun in problem.prompt and begun.endswith((":", "import math"))  # HumanEval/115 imports in the function
        program = extraction.program(
            humaneval, problem, f"\n{problem.canonical_solution}", "alpaca_signature", "repaired"
        )
        assert ast.dump(ast.parse(program)) == ast.dump(ast.parse(problem.prompt + problem.canonical_solution))
    assert prompting.render(humaneval, humaneval.problems["HumanEval/60"], "alpaca_signature", None).endswith(
        "### Instruction: Write the Python function sum_to_n. sum_to_n is a function that sums numbers from 1 to n.\n"
        ">>> sum_to_n(30)\n465\n>>> sum_to_n(100)\n5050\n>>> sum_to_n(5)\n15\n>>> sum_to_n(10)\n55\n"
        ">>> sum_to_n(1)\n1\n\n### Response:\ndef sum_to_n(n: int):"
    )


def test_mbpp_by_the_signature(shared_data: SharedData) -> None:
    mbpp = suites.load("mbpp", shared_data("mbpp").parent)
    for number in (11, 349):  # the second one's function is named check
        problem = mbpp.problems[f"MBPP/{number}"]
        prompt = prompting.render(mbpp, problem, "alpaca_signature", None)
        assert f"Write the Python function {problem.name}. Write a " in prompt and prompt.endswith(
            f"def {problem.name}("
        )
        answer = problem.canonical_solution.split(f"def {problem.name}(", 1)[1]
        program = extraction.program(mbpp, problem, answer, "alpaca_signature", "repaired")
        (outcome,) = scoring.run(
            mbpp, [scoring.Sample(problem.task_id, 0, program)], scoring.Settings(sandbox.Limits(), (1,), 1000, 0, 1)
        )
        assert outcome.verdict == "passed", (outcome, program)


def test_published_cuts() -> None:
    assert packs.cut("go", "\n    a{\n}}\nfunc b(") == "\n    a{\n}}"
    assert packs.cut("rust", "\n  x }\nfn other() {}") == "\n  x }"
    assert packs.cut("python", "\n    return 1\nprint(2)") == "\n    return 1"


def test_a_missing_toolchain_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kits, "PATH", str(tmp_path))
    for known in (languages.native, languages.jobs):
        known.cache_clear()
    reason = sandbox.missing("cpp")
    for known in (languages.native, languages.jobs):
        known.cache_clear()
    assert "cpp: not installed: g++ (g++)" in reason


def score(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "commands", "score", str(file), *words],
        cwd=file.parent,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_verdicts_that_were_written_are_not_run_again(tmp_path: Path) -> None:
    from commands import score

    benchmark = suites.load("humaneval")
    problem = benchmark.problems["HumanEval/0"]
    samples = [
        scoring.Sample("HumanEval/0", number, problem.prompt + problem.canonical_solution) for number in range(4)
    ]
    settings = scoring.Settings(sandbox.Limits(), (1,), 1000, 0, 1)
    run = score._outcomes(benchmark, samples, settings, tmp_path)
    before = [next(run), next(run)]
    run.close()
    with (tmp_path / score.VERDICTS).open("ab") as file:
        file.write(b'{"key": "half a li')
    after = list(score._outcomes(benchmark, samples, settings, tmp_path))
    assert after[:2] == before and [one.verdict for one in after] == ["passed"] * 4
    lines = (tmp_path / score.VERDICTS).read_text().splitlines()
    assert len(lines) == 4 and all(json.loads(line)["key"] for line in lines)


def test_other_data_than_the_pinned(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"test.jsonl.gz is missing; put MBPP's test split"):
        suites.load("mbpp", tmp_path)
    (tmp_path / "mbpp").mkdir()
    (tmp_path / "mbpp/test.jsonl.gz").write_bytes(b"MBPP+'s 399")
    with pytest.raises(BadInput, match=r"is not the pinned data: sha256 \w+, pinned 81d38798"):
        suites.load("mbpp", tmp_path)


def test_tasks_of_another_benchmark(tmp_path: Path, shared_data: SharedData) -> None:
    file = tmp_path / "c.jsonl"
    file.write_text(json.dumps({"task_id": "Mbpp/2", "solution": ""}) + "\n")
    done = score(file, "--benchmark", "mbpp", "--data", str(shared_data("mbpp").parent), "--out", "out")
    assert done.returncode == 3 and "unknown task_id 'Mbpp/2'; MBPP has ids like 'MBPP/11'" in done.stderr
