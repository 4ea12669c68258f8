"""Code Evol-Instruct: the rule of the rounds, elimination, a round of the stage, and the side pipeline through DVC."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dependencies
import endpoint
import pytest
from instances import root
from ruamel.yaml import YAML
from workspace import REPOSITORY, Workspace

from commands import evolve, trace
from stages.lib import artifacts, dataset, records
from stages.lib.benchmarks import validation
from stages.lib.errors import BadInput
from stages.lib.evolution import configuration, elimination, rounds, rows
from stages.lib.evolution.elimination import Evolution

PARENT = "Write a Python function that returns the sum of a list of numbers."
BETTER = "Write a Python function that returns the sum of the even numbers of a list and skips what occurs twice."
CODE = "def total(numbers):\n    return sum(numbers)"


@pytest.mark.parametrize(
    ("scores", "over", "best", "why"),
    [
        ([0.2], False, 0, "has not fallen"),
        ([0.2, 0.2], False, 0, "has not fallen"),  # no decline; of equals the earlier, with fewer rows
        ([0.2, 0.3], False, 1, "has not fallen"),
        ([0.2, 0.3, 0.25], True, 1, "pass@1 fell from 30.0% to 25.0% in round 2"),
        ([0.3, 0.2], True, 0, "fell from 30.0% to 20.0% in round 1"),
        ([0.1, 0.2, 0.3, 0.4], True, 3, "evolve.rounds = 3 is reached"),
        ([0.1, 0.4, 0.4, 0.3], True, 1, "fell from 40.0% to 30.0% in round 3"),
    ],
)
def test_rounds_end_when_pass_at_1_falls_and_the_best_one_wins(
    scores: list[float], over: bool, best: int, why: str
) -> None:
    decision = rounds.decide(scores, most=3)
    assert (decision.over, decision.best) == (over, best) and why in decision.why


def test_the_seed_set_alone_is_an_evolution_of_no_rounds() -> None:
    assert rounds.decide([0.0], most=0) == rounds.Decision(True, 0, "evolve.rounds = 0 is reached")


def test_pass_at_1_is_the_mean_over_problems_not_over_samples() -> None:
    verdicts = [("a", "passed"), ("a", "failed"), ("a", "failed"), ("a", "failed"), ("b", "passed")]
    assert rounds.pass_at_1({"task_id": task, "verdict": verdict} for task, verdict in verdicts) == 0.625


@pytest.mark.parametrize(
    ("rule", "changes", "fault"),
    [
        ("fragment", {"question": "Make it harder"}, "3 words"),
        ("copied_prompt", {"question": f"{BETTER} Increase the difficulty of it."}, "'increase the difficulty'"),
        ("copied_example", {"shown": (BETTER,)}, "100% of the words are an example's"),
        ("no_gain", {"question": PARENT.replace("sum", "total")}, "1 new words"),
        ("loop", {"question": BETTER + " and returns the sum of" * 4}, "'returns the sum of' 5 times"),
        ("too_long", {"question": " ".join(f"word{n}" for n in range(401))}, "401 words"),
        ("refusal", {"answer": "I am sorry, but this cannot be done by me at all."}, "'sorry'"),
        ("empty", {"answer": "to the, of the, is it, and on the... in?!"}, "nothing but signs and stop words"),
        ("too_short", {"answer": "return sum(x)"}, "13 characters"),
        ("copied_question", {"answer": BETTER}, "100% of the words are the question's"),
        ("looped_answer", {"answer": "It is part of the language. " * 9}, "9 times"),
        ("does_not_parse", {"answer": "def total(numbers:\n    return"}, "no valid Python"),
        (
            "does_not_parse",
            {"answer": "Like this:\n```js\nfunction f( {\n```\nThat is all.", "language": ""},
            "JavaScript",
        ),
    ],
)
def test_each_rule_finds_its_fault_and_passes_a_good_evolution(rule: str, changes: dict[str, Any], fault: str) -> None:
    rules = elimination.load()
    good = Evolution(PARENT, BETTER, CODE, "Python")
    assert elimination.find_fault(rules.instruction, good) is None
    assert elimination.find_fault(rules.answer, good) is None
    held = rules.instruction if rule in type(rules.instruction).model_fields else rules.answer
    found = elimination.find_fault(held, Evolution(**{**good.__dict__, **changes}))
    assert found is not None and found[0] == rule and fault in found[1]


def test_a_long_answer_may_say_sorry() -> None:
    text = f"{CODE}\n# " + " ".join(f"word{n}" for n in range(90)) + " sorry"
    assert elimination.find_fault(elimination.load().answer, Evolution(PARENT, BETTER, text, "Python")) is None


def test_a_bad_rules_file_is_named(tmp_path: Path) -> None:
    text = elimination.FILE.read_text().replace("most_words: 400", "most_wrods: 400")
    (tmp_path / "rules.yaml").write_text(text)
    with pytest.raises(BadInput, match=r"rules.yaml: instruction.too_long.most_words: Field required"):
        elimination.load(tmp_path / "rules.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"instruction": "a", "input": "", "output": "b"}, {"instruction": "a", "output": "b"}], "row 2: .* 'input'"),
        ([{"instruction": "a", "input": "", "output": 3}], "row 1: no text under the key 'output'"),
        ([{"instruction": " ", "input": "", "output": "b"}], "row 1: instruction is blank"),
        (["a"], "row 1: not an object but 'a'"),
        ({}, "must hold one JSON list"),
        ([], "must hold one JSON list"),
    ],
)
def test_an_alpaca_file_that_is_none_is_named_by_row_and_key(tmp_path: Path, content: Any, message: str) -> None:
    file = tmp_path / "alpaca.json"
    file.write_text(json.dumps(content))
    with pytest.raises(BadInput, match=message):
        rows.read_alpaca(file)
    with pytest.raises(BadInput, match="not readable JSON"):
        rows.read_alpaca(tmp_path / "absent.json")


def test_an_input_that_the_evolved_instruction_does_not_hold_stays() -> None:
    parent = seed(0) | {"input": "x = 1\ny = 2", "evolved_in": 0, "root": "r", "parent": "", "evolution": ""}
    child = rows.child(parent, "rarer", 1, "Say what this code does, and why.", "q", "t")
    assert child["input"] == parent["input"]
    assert rows.child(parent, "rarer", 1, "Say what x = 1 and y = 2 does.", "q", "t")["input"] == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chosen", "reported", "problems"),
    [
        ("humaneval", "humaneval", 133),
        ("humanevalfix-python", "humaneval", 164),  # the same problems in another task
        ("humaneval", "humanevalexplain-go", 133),
    ],
)
def test_problems_that_are_reported_choose_no_round(
    workspace: Workspace, chosen: str, reported: str, problems: int
) -> None:
    assert validation.read().problems == 32  # the default's are disjoint
    workspace.set("evolve.validation.benchmark", chosen)
    workspace.set("sample.benchmark", reported)
    workspace.set("sample.problems", problems)
    for stage in ("evolve@0", "sample@evolved-0"):
        ran = workspace.run(stage)
        assert ran.returncode == 3 and "rounds must not be chosen on reported problems" in ran.stderr
    workspace.set("evolve.validation.benchmark", "mbpp")
    assert validation.read().benchmark == "mbpp"
    workspace.set("evolve.validation.benchmark", "mpbb")
    with pytest.raises(BadInput, match="no benchmark 'mpbb'"):
        validation.read()


@pytest.mark.parametrize("stage", ["train@evolved", "train@1", "sample@evolved-x", "score@evolved-", "evolve@first"])
def test_a_key_that_there_is_not_is_named(workspace: Workspace, stage: str) -> None:
    ran = workspace.run(stage)
    assert ran.returncode == 3 and ("@evolved-ROUND" in ran.stderr or "evolve needs a round" in ran.stderr), ran.stderr


def seed(number: int, language: str = "Python") -> dict[str, Any]:
    code = f"def job_{number}(values):\n    kept = [v + {number} for v in values if v % {number + 2}]\n    return kept"
    row: dict[str, Any] = {field.name: "" for field in records.INSTANCE}
    words = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")[number % 6]
    text = f"Write a {language} function job_{number} that keeps each {words} of a list and adds {number} to it."
    return row | {
        "tests": [],
        "id": artifacts.digest(text),
        "task": "code generation",
        "language": language,
        "instruction": text,
        "output": code,
        "round": 1,
    }


def prepare(workspace: Workspace, url: str, count: int = 6) -> None:
    """Seal a dataset of `count` rows, and point evolve at `url`."""
    with artifacts.create("data/dataset", stage="assemble") as out:
        dataset.write_splits(out, {"train": [seed(number) for number in range(count)]}, records.INSTANCE)
    for key, value in {
        "base_url": url,
        "model": "stand-in",
        "schema_limits": False,
        "concurrency": 4,
        "patience_s": 5.0,
        "timeout_s": 10.0,
    }.items():
        workspace.set(f"evolve.teacher.{key}", value)


def evolving(body: dict[str, Any]) -> str:
    """Harder instructions and answers that parse; where the question names job_1 no gain, job_2 a refusal."""
    value = json.loads(endpoint.answer_schema(body))
    asked, name = body["messages"][-1]["content"], endpoint.identity(body)[:10]
    if endpoint.is_judgement(value):
        verdict = "fail" if "job_4" in asked else "pass"
        return json.dumps({rule: {"reason": "for the test", "verdict": verdict} for rule in value})
    if "output" in value:
        refusal = "Sorry, this is more than such a model can do."
        code = f"def job_{name}(values):\n    first = values[:0x{name}]\n    return first or [{name!r}] * len(values)"
        return json.dumps({"output": refusal if "job_2" in asked else code})
    job = re.findall(r"job_\d", asked)[-1]
    text = re.findall(rf"Write a Python function {job}.*", asked)[-1]
    new = "" if job == "job_1" else f" It also skips {name}, counts what was skipped and says so at the end."
    return json.dumps({"instruction": text + new})


def read(path: str, schema: Any) -> list[dict[str, Any]]:
    return list(records.read(Path(path), schema).to_pylist())


def union(number: int) -> list[dict[str, Any]]:
    return [row for split in rows.SPLITS for row in rows_of(number, split)]


def rows_of(number: int, split: str) -> list[dict[str, Any]]:
    """The rows of a split; an empty one has no file."""
    file = f"data/evolved/{number}/{split}.parquet"
    return read(file, rows.EVOLVED) if Path(file).exists() else []


def run(workspace: Workspace, *stages: str) -> None:
    for stage in stages:
        ran = workspace.run(stage)
        assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
def test_two_rounds(workspace: Workspace) -> None:
    with endpoint.serve(latency_s=0.0) as server:
        server.reply = evolving
        prepare(workspace, server.url)
        run(workspace, "evolve@0")
        assert not server.asked and len(union(0)) == 6
        run(workspace, "evolve@1", "evolve@2")
        asked, roots = len(server.asked), [root(f"data/evolved/{number}") for number in range(3)]
        workspace.set("evolve.rounds", 3)  # neither these nor the concurrency are part of a round
        workspace.set("evolve.validation.problems", 5)
        workspace.set("evolve.teacher.concurrency", 1)
        run(workspace, "evolve@1")
        assert len(server.asked) == asked and roots == [root(f"data/evolved/{number}") for number in range(3)]
    first, second = union(1), union(2)
    assert {row["id"] for row in first} < {row["id"] for row in second}, "each round is merged with all before it"
    assert [sum(row["evolved_in"] == number for row in second) for number in range(3)] == [6, 4, 4]
    by_id = {row["id"]: row for row in second}
    for row in second:
        if row["evolved_in"]:
            parent = by_id[row["parent"]]
            assert parent["evolved_in"] == row["evolved_in"] - 1 and row["root"] == parent["root"]
            assert row["evolve_request"] and row["request"] and row["evolution"]
    trained, held_out = ({row["root"] for row in rows_of(2, split)} for split in rows.SPLITS)
    assert not trained & held_out, "all that descends from a seed is on one side"
    failed = {row["rule"]: row for row in read("data/evolved/1/eliminated.parquet", rows.ELIMINATED)}
    assert set(failed) == {"no_gain", "refusal"} and failed["refusal"]["reason"] == "'sorry'"
    frontier = read("data/evolved/1/frontier.parquet", rows.EVOLVED)
    assert len(frontier) == 6 and sum(row["evolved_in"] == 0 for row in frontier) == 2, "a failed row's parent stays"
    metrics = json.loads(Path("metrics/evolve-1.json").read_text())
    assert metrics["asked"] == 6 and metrics["answers"]["asked"] == 5 and metrics["evolved"] == 4
    assert metrics["eliminated"] == {"no_gain": 1, "refusal": 1} and metrics["rounds"] == {"0": 6, "1": 4}
    last = next(row for row in second if row["evolved_in"] == 2)
    titles = [title for title, _ in trace.chain(last["id"])]
    files = [title.split()[0].partition("/")[2] for title in titles]
    assert files[0].startswith("evolved/2/") and files[-1].startswith("dataset/"), titles
    assert sum("answers/exchanges" in file for file in files) == 2 and sum("evolved/0/" in file for file in files) == 1


@pytest.mark.slow
def test_a_judge_may_be_asked_besides(workspace: Workspace) -> None:
    with endpoint.serve(latency_s=0.0) as server:
        server.reply = evolving
        prepare(workspace, server.url)
        workspace.set("evolve.judge", {"model": "another"})
        run(workspace, "evolve@0", "evolve@1")
        assert {body["model"] for body in server.bodies} == {"stand-in", "another"}
    failed = {row["rule"]: row for row in read("data/evolved/1/eliminated.parquet", rows.ELIMINATED)}
    assert failed["is_clear"]["reason"] == "for the test" and failed["is_clear"]["judge_request"]
    assert all(row["judge_request"] for row in union(1) if row["evolved_in"])
    assert artifacts.open("data/evolved/1").params["judge"]["model"] == "another"


@pytest.mark.slow
def test_an_alpaca_file_beside_the_dataset_is_cleaned_of_repeats_and_benchmarks(workspace: Workspace) -> None:
    from stages.lib.benchmarks import suites

    problem = next(iter(suites.load("humaneval").problems.values()))
    taken = {"instruction": problem.prompt, "input": "", "output": problem.canonical_solution}
    again = {key: seed(0)[key] for key in rows.KEYS}
    own = {"instruction": "Sort a table by its second column in SQL, newest first.", "input": "", "output": "SELECT 1"}
    Path("alpaca.json").write_text(json.dumps([taken, again, own]))
    prepare(workspace, "http://127.0.0.1:9/v1")
    workspace.set("evolve.seeds.file", "alpaca.json")
    run(workspace, "evolve@0")
    failed = {row["rule"]: row["reason"] for row in read("data/evolved/0/eliminated.parquet", rows.ELIMINATED)}
    assert failed == {"near_duplicate": seed(0)["id"], "contamination": f"HumanEval {problem.task_id}"}
    assert sum(row["source"] == "alpaca.json" for row in union(0)) == 1 and len(union(0)) == 7
    workspace.set("evolve.rows", 3)
    run(workspace, "evolve@0")
    assert len(union(0)) <= 3


@pytest.mark.slow
def test_bad_seeds_rounds_and_dead_letters_are_named(workspace: Workspace) -> None:
    with endpoint.serve(lambda number: "400", latency_s=0.0) as server:
        prepare(workspace, server.url)
        run(workspace, "evolve@0")
        ran = workspace.run("evolve@1")
        assert ran.returncode == 3 and "6 of 6 rows are dead letters, more than max_dead_share = 0.2" in ran.stderr
        assert len(Path("data/evolved/1/dead_letters.jsonl").read_text().splitlines()) == 6
    ran = workspace.run("evolve@3")
    assert ran.returncode == 3 and "evolve.rounds in params.yaml is 2; raise it to 3" in ran.stderr
    workspace.set("evolve.examples", 9)
    ran = workspace.run("evolve@1")
    assert ran.returncode == 3 and "evolve.examples: 9, but" in ran.stderr
    workspace.set("evolve.seeds", {"dataset": False, "file": None})
    ran = workspace.run("evolve@0")
    assert ran.returncode == 3 and "there are no seeds" in ran.stderr


def side_pipeline() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(REPOSITORY / "pipelines/evolve/dvc.yaml")["stages"])


@pytest.mark.parametrize("stage", ["evolve", "train", "sample", "score"])
def test_the_side_pipeline_knows_every_module_that_a_stage_imports(stage: str) -> None:
    """As tests/test_independence.py does for what is in DVC's index; these are there once `make evolve` has run."""
    named = sorted(dep for dep in side_pipeline()[stage]["do"]["deps"] if dep.startswith("stages/lib/"))
    assert named == dependencies.deps_of(stage)


def write_repository(workspace: Workspace) -> None:
    """A DVC repository of its own with the code, the side pipeline, and no pipeline that makes data/dataset."""
    for name in ("commands", "executors", "stages", "pipelines", "containers"):
        ignore = shutil.ignore_patterns("__pycache__", "dvc.lock")
        shutil.copytree(REPOSITORY / name, workspace.path / name, ignore=ignore)
    (workspace.path / "pipelines/evolve/rounds.yaml").write_text("# A comment.\nrounds: {}\nmodels: {}\nbest: []\n")
    (workspace.path / ".venv").symlink_to(Path(sys.prefix))
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "config", "core.analytics", "false"], check=True)


def test_rounds_that_nobody_has_run_are_not_in_dvcs_index(workspace: Workspace) -> None:
    """`dvc pull` would fail for each of their outputs."""
    from dvc.repo import Repo

    write_repository(workspace)
    with Repo() as repo:
        assert not repo.index.stages
    evolve.write_rounds(configuration.read(), 1, over=True)
    with Repo() as repo:
        stages = {stage.name: stage for stage in repo.index.stages}
    every = [f"{stage}@evolved-{number}" for stage in ("train", "sample", "score") for number in (0, 1)]
    assert sorted(stages) == sorted(["evolve@0", "evolve@1", "choose@best", *every])
    table = YAML(typ="safe").load(REPOSITORY / "containers/stages.yaml")
    for stage in stages.values():
        kinds = table[stage.cmd.split()[1].partition("@")[0]]["image"].split(" or ")
        assert [dep.params for dep in stage.deps if "images.lock" in dep.fs_path] == [kinds], stage.name


def make_evolve(workspace: Workspace) -> "subprocess.CompletedProcess[str]":
    path = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(workspace.path)}
    words = [sys.executable, "-m", "commands", "evolve"]
    return subprocess.run(words, env=workspace.environment(**path), capture_output=True, text=True, timeout=1700)


def test_the_side_pipeline_knows_every_key_that_decides_a_round() -> None:
    from stages.evolve import Params

    named = {key.removeprefix("evolve.") for key in side_pipeline()["evolve"]["do"]["params"] if isinstance(key, str)}
    assert named == set(Params.model_fields) - {"rounds", "validation"}


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_make_evolve_runs_the_rounds_through_dvc_and_again_only_what_changed(workspace: Workspace, tiny: Path) -> None:
    write_repository(workspace)
    with endpoint.serve(latency_s=0.0) as server:
        server.reply = evolving
        prepare(workspace, server.url)
        for key, value in {
            "evolve.rounds": 1,
            "evolve.validation.problems": 2,
            "train.model": f"path:{tiny}",
            "train.epochs": 1,
            "train.threads": 1,
            "sample.max_new_tokens": 4,
            "sample.threads": 1,
        }.items():
            workspace.set(key, value)
        ran = make_evolve(workspace)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "evolve.rounds = 1 is reached; the best round is in data/evolved-best" in ran.stdout
    best, model = artifacts.open("data/evolved-best"), artifacts.open("models/evolved-best")
    # A model of random weights solves nothing: the seed set is the best, as it is the smallest.
    assert best.params["best"] == 0 and best.params["pass_at_1"] == [0.0, 0.0] and model.params == best.params
    assert best.file("train.jsonl").read_bytes() == Path("data/evolved/0/train.jsonl").read_bytes()
    assert (model.path / "adapter").is_dir()
    assert len(union(1)) > len(union(0))
    asked = {row["task_id"] for row in read("data/completions/evolved/1/completions.parquet", records.COMPLETION)}
    assert asked == {"HumanEval/132", "HumanEval/133"}
    workspace.set("evolve.rounds", 0)
    ran = make_evolve(workspace)  # the endpoint is gone
    assert ran.returncode == 0 and not Path("data/evolved/1").exists(), "what a longer run left is removed"
    assert set(re.findall(r"Running stage '.*:(.+)'", ran.stdout)) == {"choose@best"}
