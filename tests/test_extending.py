"""Each recipe of docs/extending.md, walked once in a scratch copy of the code: its files and no others."""

import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import endpoint
import pytest
from instances import function, prepare
from workspace import REPOSITORY, Workspace

from stages.lib import artifacts, records
from stages.lib.judging.rules import load_rules

FOLDERS = ("stages", "executors", "containers", "pipelines")
FILES = ("dvc.yaml", "params.yaml", "profile.yaml", "pyproject.toml")


class Scratch(Workspace):
    """A copy of the code, in which stages are run as dvc runs them. `write` and `edit` are what an engineer would do;
    `touched` is what the recipe must name."""

    def __init__(self, path: Path) -> None:
        for name in FOLDERS:
            shutil.copytree(REPOSITORY / name, path / name)
        for name in FILES:
            shutil.copy2(REPOSITORY / name, path / name)
        super().__init__(path)
        self.touched: list[str] = []

    def environment(self, **extra: str) -> dict[str, str]:
        return {**super().environment(**extra), "PYTHONPATH": str(self.path)}

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        self.touched.append(name)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.path / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name}: {old!r} must stand there once"
        (self.path / name).write_text(text.replace(old, new), encoding="utf-8")
        self.touched.append(name)

    def append(self, name: str, text: str) -> None:
        self.edit(name, old := (self.path / name).read_text(encoding="utf-8"), old + textwrap.dedent(text))

    def passes(self, stage: str, **environment: str) -> str:
        """Run a stage that must succeed; what it logged."""
        ran = self.run(stage, **environment)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def python(self, *words: str, **environment: str) -> str:
        """What a Python of the copy prints."""
        ran = subprocess.run(
            [sys.executable, *words],
            cwd=self.path,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def bring(self, *names: str) -> None:
        """Copy tests, to be run against the copy."""
        for name in ("tests/conftest.py", "tests/support", *names):
            source = REPOSITORY / name
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, self.path / name)
        for package in ("commands", "tidemill"):
            shutil.copytree(REPOSITORY / package, self.path / package)

    def pytest(self, *words: str) -> str:
        return self.python("-m", "pytest", "-q", "-p", "no:cacheprovider", *words)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    monkeypatch.chdir(tmp_path)
    return Scratch(tmp_path)


def recipe(title: str) -> str:
    """The section of docs/extending.md."""
    text = (REPOSITORY / "docs/extending.md").read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def assert_named(title: str, scratch: Scratch) -> None:
    """The recipe names what the test touched: the file, or its folder and its ending."""
    told = recipe(title)
    assert told, f"docs/extending.md has no recipe {title!r}"
    for name in set(scratch.touched):
        path = Path(name)
        generic = [path.with_stem("NAME"), path.with_suffix(".EXT"), Path(*path.parts[:-2], "NAME", path.name)]
        forms = [name, *map(str, generic)] if len(path.parts) > 1 else [name]
        assert any(f"`{form}`" in told for form in forms), f"the recipe {title!r} does not name {name}"


def candidates(number: int = 1) -> list[dict[str, Any]]:
    artifact = artifacts.open(f"data/candidates/{number}")
    return records.read(artifact.file("candidates.parquet"), records.CANDIDATE).to_pylist()


def verdicts(number: int = 1) -> list[dict[str, Any]]:
    artifact = artifacts.open(f"data/verdicts/{number}")
    return records.read(artifact.file("verdicts.parquet"), records.VERDICT).to_pylist()


def asked(path: str) -> list[dict[str, Any]]:
    """The requests that an artifact's exchanges keep."""
    rows = records.read(Path(path, "exchanges.parquet"), records.EXCHANGE).to_pylist()
    return [json.loads(row["body"]) for row in rows]


def points_at(scratch: Scratch, url: str, generate: dict[str, Any]) -> None:
    """A corpus of sealed functions, and a stand-in endpoint for teacher and judge."""
    prepare(scratch, url, rows=8)
    scratch.set("judge.skip_failed_checks", False)
    for key, value in {"rows_per_round": 4, **generate}.items():
        scratch.set(f"generate.{key}", value)


# A task

REVIEW = r"""
    name: code review
    definition: Review the given code as a colleague would.
    requirements:
      - The solution is one sentence that names one weakness of the code, or says that there is none.
    ask: Review this {{ language }} function, and write the instruction that asks for the review.
    writes:
      instruction:
        type: string
        pattern: '^Review (this|the following) {{ language }} (function|method)\.$'
      solution: {type: string, minLength: 40, maxLength: 200}
    reask_on: [not_an_example]
    solution_is_code: false
    fills:
      information: "{{ code }}"
    seeds:
      good:
        - language: Python
          code: |
            def first(items):
                return items[0]
          answer:
            instruction: Review this Python function.
            solution: It fails with an index error on an empty list, which its callers are not told of anywhere.
      bad:
        - language: Python
          code: |
            def first(items):
                return items[0]
          answer: {instruction: Review this., solution: Good.}
          reason: it says nothing about the code
"""
REVIEWED = """
    task: code review
    checks: [fields_present, instruction_names_language, solution_is_prose]
    plants:
      code in prose: [solution_is_prose]
    judge:
      - rule: is_true
        ask: Is what the solution says of the input true?
    judged:
      - instruction: Review this Python function.
        information: |
          def first(items):
              return items[0]
        solution: It fails with an index error on an empty list, which its callers are not told of anywhere.
        rulings:
          is_true: {reason: "An empty list has no first item.", verdict: pass}
    question: Is the review true of the input?
"""


@pytest.mark.slow
def test_a_task(scratch: Scratch) -> None:
    scratch.write("stages/lib/tasks/definitions/review.yaml", REVIEW)
    with endpoint.serve() as server:
        points_at(scratch, server.url, generate={"mix": {"code review": 100.0}, "tests.languages": ["Python"]})
        scratch.passes("generate@1")
        refused = scratch.run("judge@1")
        assert refused.returncode == 3
        assert "task 'code review' needs a file in" in refused.stderr and "one is missing" in refused.stderr
        scratch.write("stages/lib/judging/rules/review.yaml", REVIEWED)
        scratch.passes("judge@1")
    rows = candidates()
    assert len({row["id"] for row in rows}) == 4 and {row["task"] for row in rows} == {"code review"}
    assert [row["information"] for row in rows] == [function(number)["code"] for number in range(4)]
    assert {tuple(row["tests"]) for row in rows} == {()}, "its solution is no code"
    for body in asked("data/candidates/1"):
        system, *_, user = body["messages"]
        assert "Task: Review the given code as a colleague would." in system["content"]
        assert user["content"].endswith("this Python function, and write the instruction that asks for the review.")
        assert "It fails with an index error" in json.dumps(body["messages"][1:-1]), "its seed is the example"
    for body in asked("data/verdicts/1"):
        assert "is_true: Is what the solution says of the input true?" in body["messages"][0]["content"]
    ruled = {(one["rule"], one["kind"]) for row in verdicts() for one in row["rulings"]}
    assert ruled >= {("solution_is_prose", "check"), ("is_true", "judge")}

    scratch.bring("tests/lib/tasks")
    assert " passed" in scratch.pytest("tests/lib/tasks/test_tasks.py", "-k", "seed or the_papers")
    assert_named("A task", scratch)


# A judge's rule


@pytest.mark.slow
def test_a_rule_of_the_judge(scratch: Scratch) -> None:
    file = "stages/lib/judging/rules/repair.yaml"
    question = "Could a programmer make this mistake by accident?"
    scratch.edit(file, "  - rule: is_clear\n", f"  - rule: is_realistic\n    ask: {question}\n  - rule: is_clear\n")
    with endpoint.serve() as server:
        points_at(scratch, server.url, generate={"mix": {"code repair": 100.0}})
        scratch.passes("generate@1")
        refused = scratch.run("judge@1")
        assert refused.returncode == 3 and "judged: the rulings are" in refused.stderr, "each shown instance needs it"
        for shown in load_rules("code repair").judged:
            old = f'      is_clear: {{reason: "{shown.rulings["is_clear"].reason}"'
            new = '      is_realistic: {reason: "Tell it by the code.", verdict: fail}\n'
            scratch.edit(file, old, new + old)
        scratch.passes("judge@1")
    for body in asked("data/verdicts/1"):
        assert f"is_realistic: {question}" in body["messages"][0]["content"]
        assert '"is_realistic": {"reason": "Tell it by the code.", "verdict": "fail"}' in body["messages"][2]["content"]
        assert "is_realistic" in body["response_format"]["json_schema"]["schema"]["required"]
    rulings = [[one["rule"] for one in row["rulings"] if one["kind"] == "judge"] for row in verdicts()]
    assert rulings == [["has_a_bug", "is_realistic", "is_clear"]] * 4
    assert "is_realistic" in Path("plots/judge-1.csv").read_text()
    scratch.bring("tests/lib/judging")
    assert " passed" in scratch.pytest("tests/lib/judging", "-k", "plant")
    assert_named("A judge's rule", scratch)


# A generation method

METHOD = r"""
    name: headline
    source: our own
    made_from: functions
    task: code generation
    definition: Ask for a function by its headline alone.
    requirements: [The solution is code alone.]
    ask: Write a {{ language }} function for this headline.
    writes:
      instruction: {type: string, minLength: 20}
      solution: {type: string, minLength: 30}
    reask_on: [not_an_example]
    fills:
      information: ""
    snippet_lines: 1
    seeds:
      - language: Python
        code: "def count_vowels(text):"
        answer:
          instruction: Write a Python function that counts the vowels of a text.
          solution: |
            def count_vowels(text):
                return sum(letter in "aeiou" for letter in text.lower())
      - language: Python
        code: "def last_word(sentence):"
        answer:
          instruction: Write a Python function that returns the last word of a sentence.
          solution: |
            def last_word(sentence):
                return sentence.split()[-1]
"""


@pytest.mark.slow
def test_a_generation_method(scratch: Scratch) -> None:
    folder = "stages/lib/methods/headline"
    scratch.write(f"{folder}/method.yaml", METHOD)
    scratch.write(f"{folder}/system.j2", "You invent tasks. Answer with the keys {{ task.writes | join(', ') }}.")
    scratch.write(f"{folder}/user.j2", "Headline: {{ code }}\n{{ ask }}")
    with endpoint.serve() as server:
        points_at(scratch, server.url, generate={"method": "headline"})
        scratch.passes("generate@1")
        scratch.passes("judge@1")
    lines = {line for number in range(4) for line in function(number)["code"].splitlines()}
    for body in asked("data/candidates/1"):
        system, *examples, user = body["messages"]
        assert system["content"] == "You invent tasks. Answer with the keys instruction, solution."
        assert {"def count_vowels(text):", "def last_word(sentence):"} == {
            one["content"].split("\n")[0].removeprefix("Headline: ") for one in examples if one["role"] == "user"
        }
        head, _, ask = user["content"].partition("\n")
        assert head.removeprefix("Headline: ") in lines and ask == "Write a Python function for this headline."
    rows = candidates()
    scratch.bring("tests/lib/methods")
    assert " passed" in scratch.pytest("tests/lib/methods", "-k", "headline and not judged")
    assert len(rows) == 4 == len(verdicts()) and {row["task"] for row in rows} == {"code generation"}
    assert_named("A generation method", scratch)


# A benchmark

PUBLISHED = """
    quiz:
      name: Quiz
      file: quiz/tasks.jsonl
      sha256: {sha256}
      source: tests/test_extending.py writes it
      compare: [prompt, canonical_solution, test]
"""
QUIZ = r"""
    name: Quiz
    data: quiz
    language: python
    forms:
      completion: {text: "{prompt}", stop: ["\nclass", "\ndef", "\n#", "\nif", "\nprint"]}
      alpaca:
        text: Complete this Python function.
        input: "{prompt}"
        stop: ["\n### "]
"""
QUESTION = "How many bridges must a walker cross to see every island once?"
ASKED = """
import sys
from pathlib import Path
from stages.lib.benchmarks import prompting, suites
from stages.lib.corpus.decontamination import Decontaminator, load_benchmarks

assert "Quiz" in load_benchmarks(None)[1], "named among those that nothing was checked against"
found, missing = load_benchmarks(Path("shared/data"))
assert "Quiz" not in missing
assert Decontaminator(found, 8).matches("# " + sys.argv[1]) == "Quiz Quiz/7"
benchmark = suites.load("quiz")
print(prompting.render(benchmark, benchmark.problems["Quiz/7"], "alpaca", None))
"""


@pytest.mark.slow
def test_a_benchmark(scratch: Scratch) -> None:
    problem = {
        "task_id": "Quiz/7",
        "prompt": f'def bridges(islands):\n    """{QUESTION}"""\n',
        "entry_point": "bridges",
        "canonical_solution": "    return islands - 1\n",
        "test": "def check(candidate):\n    assert candidate(7) == 6\n",
    }
    data = scratch.path / "shared/data/quiz/tasks.jsonl"
    data.parent.mkdir(parents=True)
    data.write_text(json.dumps(problem) + "\n")
    sha256 = artifacts.hash_file(data)
    scratch.append("stages/lib/published/files.yaml", textwrap.dedent(PUBLISHED).format(sha256=sha256))
    scratch.write("stages/lib/benchmarks/suites/quiz.yaml", QUIZ)
    assert "Complete this Python function." in scratch.python("-c", ASKED, QUESTION)

    answers = (problem["canonical_solution"], "    return islands\n")
    rows = [
        {
            "task_id": "Quiz/7",
            "sample": number,
            "prompt": problem["prompt"],
            "completion": text + "\n# That is all.",
            "tokens": 9,
            "finished": True,
        }
        for number, text in enumerate(answers)
    ]
    knobs = {"benchmark": "quiz", "benchmark_sha256": sha256, "prompt": "completion", "samples": 2}
    with artifacts.create("data/completions/base", stage="sample@base", params=knobs) as out:
        records.write(out / "completions.parquet", rows, records.COMPLETION)
    assert "isolation: " in scratch.passes("score@base")
    found = records.read(Path("data/scores/base/scores.parquet"), records.SCORE).to_pylist()
    assert [row["verdict"] for row in found] == ["passed", "wrong answer"]
    assert json.loads(Path("metrics/score-base.json").read_text())["slice"] == "all 1 problems of Quiz"
    assert_named("A benchmark", scratch)


# A language

C = """
    C:
      suffixes: [.c]
      grammar: tree_sitter_cpp.language # its own is tree_sitter_c.language
      query: |
        (function_definition declarator: (_) @name body: (compound_statement)) @function
      around: []
      shells: ["CODE"]
      exact_case: true
"""
SOURCE = """
    #include <stddef.h>

    /* The length of a text that a zero ends. */
    size_t length(const char *text) {
        size_t count = 0;
        while (text[count]) count++;
        return count;
    }
"""
KNOWN = """
from stages.lib.corpus import functions, names
from stages.lib.tasks.checks import named_language

assert functions.language_of("a/b.c") == "C" and functions.tagged("c") == "C"
assert functions.parses("int f(int n) { return n; }", "C") and not functions.parses("int f( { return 1; }", "C")
assert "C, which names.yaml does not have" in names.lacks("int f(int n) { return n; }", "", "C")
assert named_language("Write a C function.") == "C" and named_language("Write a C++ function.") == "C++"
"""


def test_a_language(scratch: Scratch) -> None:
    scratch.append("stages/lib/corpus/languages.yaml", C)
    scratch.write("tests/support/sources/shapes.c", SOURCE)
    scratch.python("-c", KNOWN)
    source = {"kind": "tree", "name": "mine", "path": "tests/support/sources", "take": {"C": 5}}
    scratch.set("collect.sources", [source])
    scratch.set("collect.shape.least_lines", 2)
    scratch.passes("collect")
    (row,) = records.read(Path("data/functions/functions.parquet"), records.FUNCTION).to_pylist()
    assert (row["language"], row["name"], row["line"]) == ("C", "length", 4)
    assert row["docstring"] == "The length of a text that a zero ends."
    scratch.set("collect.sources", [{**source, "take": {"D": 5}}])
    refused = scratch.run("collect")
    assert refused.returncode == 3 and "no language 'D'; the languages are Python" in refused.stderr
    assert_named("A language", scratch)


# A stage

CENSUS = '''
    """census: how many functions of each language the corpus has.

    Reads   data/corpus
    Writes  data/census/census.jsonl   language, functions
            metrics/census.json        languages
    """

    from collections import Counter

    from pydantic import Field

    from stages.lib import artifacts, params, records


    class Params(params.Section):
        """The section `census` of params.yaml."""

        least: int = Field(ge=1)


    def main() -> None:
        knobs = params.load("census", Params)
        corpus = artifacts.open("data/corpus")
        languages = records.read(corpus.file("corpus.parquet"), records.FUNCTION)["language"].to_pylist()
        rows = [{"language": name, "functions": n} for name, n in Counter(languages).items() if n >= knobs.least]
        with artifacts.create("data/census", stage="census", inputs=[corpus], params=knobs.result) as out:
            records.write_lines(out / "census.jsonl", rows)
            artifacts.write_metrics("census", {"languages": len(rows)})
'''
ENTRY = """\
  census:
    cmd: stages/run census
    deps:
      - data/corpus
      - stages/census.py
DEPS
    params: [census, {profile.yaml: [census], containers/images.lock.yaml: [cpu]}]
    outs: [data/census]
    metrics: [metrics/census.json]

plots:
"""
HOLDS = (
    "test_a_stage_depends_on_what_it_imports_and_on_nothing_else[census]",
    "test_help_is_there_and_imports_nothing_heavy[census]",
    "test_a_stage_is_a_page[census]",
    "test_params_and_stages_have_the_same_words",
    "test_every_stage_says_where_it_runs",
    "test_import_rules_hold",
)


@pytest.mark.slow
def test_a_stage(scratch: Scratch) -> None:
    scratch.bring("tests/test_independence.py")
    scratch.write("stages/census.py", CENSUS)
    scratch.append("params.yaml", "\ncensus:\n  least: 2 # functions of a language that counts\n")
    scratch.append("containers/stages.yaml", "census:   {image: cpu, network: false}\n")
    listed = scratch.python("tests/support/dependencies.py", "census").splitlines()[1:]
    scratch.edit("dvc.yaml", "plots:\n", ENTRY.replace("DEPS", "\n".join(f"    {line}" for line in listed)))
    subprocess.run(["git", "init", "--quiet"], cwd=scratch.path, check=True)
    shutil.copytree(REPOSITORY / ".dvc", scratch.path / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    assert f"{len(HOLDS)} passed" in scratch.pytest(*(f"tests/test_independence.py::{name}" for name in HOLDS))

    with artifacts.create("data/corpus", stage="filter") as out:
        records.write(out / "corpus.parquet", [function(number) for number in range(3)], records.FUNCTION)
    scratch.passes("census")
    census = artifacts.open("data/census")
    assert records.read_lines(census.file("census.jsonl")) == [{"language": "Python", "functions": 3}]
    assert json.loads(Path("metrics/census.json").read_text()) == {"languages": 1}
    assert_named("A stage", scratch)


# An executor

ECHO = '''
    """EXECUTOR=echo: says what would be run, and runs nothing."""

    from collections.abc import Sequence
    from typing import NoReturn


    def run(stages: Sequence[str]) -> int:
        """Print the stages that would be brought up to date."""
        print("would bring up to date:", *stages or ["everything"])
        return 0


    def enter(stage: str, words: Sequence[str]) -> NoReturn:
        """Print the stage that would be run."""
        print("would run:", stage, *words)
        raise SystemExit(0)
'''


def test_an_executor(scratch: Scratch) -> None:
    scratch.write("executors/echo.py", ECHO)
    make = scratch.python("-m", "executors", "train", "report", EXECUTOR="echo")
    assert make == "would bring up to date: train report\n"
    assert scratch.python("-m", "executors", EXECUTOR="echo") == "would bring up to date: everything\n"
    ran = subprocess.run(
        ["stages/run", "collect"],
        cwd=scratch.path,
        env=scratch.environment(EXECUTOR="echo", TIDEMILL_PYTHON=sys.executable),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (ran.returncode, ran.stdout) == (0, "would run: collect\n"), ran.stderr
    assert not (scratch.path / "data").exists()
    refused = scratch.run("collect", EXECUTOR="eco")
    assert refused.returncode == 3
    assert "choose one of container, echo, kubernetes, local, slurm" in refused.stderr
    assert scratch.touched == ["executors/echo.py"]
    assert_named("An executor", scratch)


def test_the_recipes_are_these() -> None:
    text = (REPOSITORY / "docs/extending.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert len(titles) == 7 and all(recipe(title).strip().startswith("1. ") for title in titles)
