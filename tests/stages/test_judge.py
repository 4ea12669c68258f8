"""judge, run as dvc runs it: checks first, then the model's rules; good and bad cases feed the next round."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import endpoint
import pytest
from instances import prepare, root
from workspace import REPOSITORY, Workspace

from commands import trace
from stages.lib import artifacts, params, records, sandbox
from stages.lib.errors import BadInput
from stages.lib.judging.rules import load_rules


def judgement(body: dict[str, Any]) -> str:
    """Candidates as ever; of judgements every third fails its first rule."""
    value = json.loads(endpoint.answer_schema(body))
    if endpoint.is_judgement(value):
        failing = int(endpoint.identity(body), 16) % 3 == 0
        for rule in value.values():
            rule["verdict"] = "pass"
        next(iter(value.values()))["verdict"] = "fail" if body["seed"] % 3 == 0 or failing else "pass"
    return json.dumps(value)


@pytest.fixture
def server() -> Any:
    with endpoint.serve(latency_s=0.01) as served:
        served.reply = judgement
        yield served


def verdicts(number: int) -> list[dict[str, Any]]:
    artifact = artifacts.open(f"data/verdicts/{number}")
    return records.read(artifact.file("verdicts.parquet"), records.VERDICT).to_pylist()


def test_two_rounds(workspace: Workspace, server: endpoint.StandIn) -> None:
    prepare(workspace, server.url)
    for stage in ("generate@1", "judge@1", "generate@2", "judge@2"):
        ran = workspace.run(stage)
        assert ran.returncode == 0, ran.stderr
    rows = verdicts(1)
    assert len(rows) == 12
    for row in rows:
        checks = [ruling for ruling in row["rulings"] if ruling["kind"] == "check"]
        judged = [ruling for ruling in row["rulings"] if ruling["kind"] == "judge"]
        stood = all(ruling["passed"] for ruling in checks)
        assert checks and bool(judged) == stood == bool(row["judge_request"])
        assert row["passed"] == all(ruling["passed"] for ruling in row["rulings"])
        assert not judged or [one["rule"] for one in judged] == [one.rule for one in load_rules(row["task"]).judge]
        assert all(ruling["reason"] for ruling in row["rulings"] if not ruling["passed"])
    assert {row["passed"] for row in rows} == {True, False}
    metrics = json.loads(Path("metrics/judge-1.json").read_text())
    assert metrics["pass_rate"] == round(sum(row["passed"] for row in rows) / 12, 4)
    assert metrics["failures_by_rule"]

    pool = [json.loads(line) for line in Path("data/candidates/2/pool.jsonl").read_text().splitlines()]
    found = {case["id"]: case["good"] for case in pool if case["origin"] == "round 1"}
    assert found and all(found[row["id"]] == row["passed"] for row in rows if row["id"] in found)
    first, second = (
        {
            row["function_id"]
            for row in records.read(Path(f"data/candidates/{n}/candidates.parquet"), records.CANDIDATE).to_pylist()
        }
        for n in (1, 2)
    )
    assert not first & second


@pytest.mark.slow
def test_killed_and_run_again(workspace: Workspace, server: endpoint.StandIn) -> None:
    prepare(workspace, server.url)
    workspace.set("judge.skip_failed_checks", False)
    assert workspace.run("generate@1").returncode == 0
    assert workspace.run("judge@1").returncode == 0
    undisturbed = root("data/verdicts/1")
    (workspace.path / "journal" / "exchanges.log").unlink()
    server.answered.clear()
    server.latency_s = 0.15
    server.stop(workspace.start("judge@1"), answers=5)
    assert workspace.run("judge@1").returncode == 0
    assert root("data/verdicts/1") == undisturbed
    assert sum(server.answered.values()) - len(server.answered) <= 4


@pytest.mark.slow
def test_a_failed_check_is_sent_to_the_judge_only_when_asked_for(
    workspace: Workspace, server: endpoint.StandIn
) -> None:
    prepare(workspace, server.url)
    assert workspace.run("generate@1").returncode == 0
    assert workspace.run("judge@1").returncode == 0
    asked = json.loads(Path("metrics/judge-1.json").read_text())
    assert asked["asked"] == 12 - asked["failed_checks"] < 12
    workspace.set("judge.skip_failed_checks", False)
    assert workspace.run("judge@1").returncode == 0
    assert all(row["judge_request"] for row in verdicts(1))


def test_candidates_that_were_touched_are_refused(workspace: Workspace, server: endpoint.StandIn) -> None:
    prepare(workspace, server.url)
    assert workspace.run("generate@1").returncode == 0
    with Path("data/candidates/1/pool.jsonl").open("a") as stream:
        stream.write("\n")
    ran = workspace.run("judge@1")
    assert ran.returncode == 3 and "pool.jsonl was changed" in ran.stderr


def plants(number: int) -> list[dict[str, Any]]:
    artifact = artifacts.open(f"data/verdicts/{number}")
    return list(records.read(artifact.file("audit/plants.parquet"), records.PLANT).to_pylist())


def metrics() -> dict[str, Any]:
    return dict(json.loads(Path("metrics/judge-1.json").read_text()))


def ruling(body: dict[str, Any], fails: bool) -> str:
    """A judgement that fails its first rule, and nothing else, where `fails`; candidates as ever."""
    value = json.loads(endpoint.answer_schema(body))
    if endpoint.is_judgement(value):
        for number, rule in enumerate(value.values()):
            rule["verdict"] = "fail" if number == 0 and fails else "pass"
    return json.dumps(value)


@pytest.mark.slow
def test_the_audit_finds_what_a_judge_sees_and_leaves_no_row_behind(
    workspace: Workspace, server: endpoint.StandIn
) -> None:
    server.reply = lambda body: ruling(body, int(endpoint.identity(body), 16) % 5 == 0)
    prepare(workspace, server.url)
    workspace.set("assemble.rounds", [1])
    for stage in ("generate@1", "judge@1"):
        assert workspace.run(stage).returncode == 0
    before, asked = verdicts(1), len(server.asked)
    workspace.set("judge.audit", {"seeds": 9, "candidates": 0.0})
    ran = workspace.run("judge@1")
    assert ran.returncode == 0, ran.stderr
    every = plants(1)
    assert len(server.asked) - asked == 9 == metrics()["audit"]["asked"], "what fails a check costs no request"
    assert sum(any(one["kind"] == "judge" for one in row["rulings"]) for row in every) == 9
    assert all(row["drawn"] or {one["kind"] for one in row["rulings"]} == {"check"} for row in every)
    totals = metrics()["audit_totals"]
    assert totals["checks"]["bad"] + totals["checks"]["good"] == len(every) > totals["together"]["bad"] + 3
    assert (totals["judge"]["bad"], totals["judge"]["good"]) == (6, 3)

    workspace.set("judge.audit", {"seeds": "all", "candidates": 1.0})
    ran = workspace.run("judge@1")
    assert ran.returncode == 0, ran.stderr
    assert verdicts(1) == before, "the rows' own verdicts stay as they were"
    planted = plants(1)
    assert {row["id"] for row in every} < {row["id"] for row in planted} and all(row["drawn"] for row in planted)
    assert {row["origin"] for row in planted} == {"seed", "candidate"}
    for row in metrics()["audit_by_plant"]:
        failed = [one for one in planted if (one["task"], one["kind"]) == (row["task"], row["plant"])]
        failed = [one for one in failed if any(not r["passed"] for r in one["rulings"] if r["kind"] == "judge")]
        assert row["by_judge"] == len(failed), row
        assert row["by_checks"] == 0 or row["plant"] != "good", row
        assert row["planted"] == row["by_checks"] + row["asked"] == row["drawn"]
    matches = next(row for row in metrics()["audit_by_rule"] if row["rule"] == "matches_code" and row["caught"])
    assert matches["false_alarms_95"][1] > 0 < matches["recall"] < 1
    together = metrics()["audit_totals"]["together"]
    bad = [row for row in planted if row["kind"] != "good"]
    assert together["caught"] == sum(not all(one["passed"] for one in row["rulings"]) for row in bad)
    assert together["trust"] == "better than chance" and metrics()["audit_totals"]["judge"]["recall"] < 0.5
    assert "matches_code" in (workspace.path / "plots" / "judge-1.csv").read_text()

    workspace.set("judge.skip_failed_checks", False)
    assert workspace.run("judge@1").returncode == 0
    assert metrics()["audit"]["asked"] == len(plants(1)) == len(planted), "now the judge is asked about each"
    assert workspace.run("assemble").returncode == 0
    rows = [*records.read_lines(Path("data/dataset/train.jsonl"))]
    rows += records.read_lines(Path("data/dataset/validation.jsonl"))
    assert rows and {row["id"] for row in rows} <= {row["id"] for row in before}
    assert not {row["id"] for row in planted} & {row["id"] for row in [*rows, *before]}


@pytest.mark.slow
def test_the_audit_is_the_defaults_and_only_the_first_rounds(workspace: Workspace, server: endpoint.StandIn) -> None:
    default = params.read(workspace.path / "params.yaml")["judge"]["audit"]
    prepare(workspace, server.url)
    workspace.set("judge.audit.seeds", default["seeds"])
    for stage in ("generate@1", "judge@1", "generate@2", "judge@2"):
        ran = workspace.run(stage)
        assert ran.returncode == 0, ran.stderr
    first, second = (json.loads(Path(f"metrics/judge-{number}.json").read_text()) for number in (1, 2))
    assert first["audit"]["asked"] == 20 and first["audit_totals"]["judge"]["good"] == 7
    assert "audit" not in second and not (workspace.path / "data/verdicts/2/audit").exists()


@pytest.mark.slow
def test_a_judge_that_rules_by_probability(workspace: Workspace, server: endpoint.StandIn) -> None:
    prepare(workspace, server.url)
    workspace.set("judge.answers", "probability")
    workspace.set("judge.threshold", {"default": 0.5, "code generation": 0.9})
    for stage in ("generate@1", "judge@1"):
        ran = workspace.run(stage)
        assert ran.returncode == 0, ran.stderr
    ruled = [(row["task"], one) for row in verdicts(1) for one in row["rulings"] if one["kind"] == "judge"]
    assert ruled and {one["rule"] for _, one in ruled} == {"is_right"}
    for task, one in ruled:
        threshold = "0.90" if task == "code generation" else "0.50"
        said = re.fullmatch(rf"the probability of a yes is (0\.\d\d); {threshold} is needed", one["reason"])
        assert said and one["passed"] == (float(said[1]) >= float(threshold))
    assert {one["passed"] for _, one in ruled} == {True, False}
    asked = len(server.asked)
    workspace.set("judge.threshold", {"default": 0.0})
    assert workspace.run("judge@1").returncode == 0 and len(server.asked) == asked, "another threshold asks nothing"
    assert all(one["passed"] for row in verdicts(1) for one in row["rulings"] if one["kind"] == "judge")

    workspace.set("judge.threshold", {"code repair": 0.5})
    refused = workspace.run("judge@1")
    assert refused.returncode == 3 and "needs a key `default`" in refused.stderr


def test_an_endpoint_without_probabilities_is_told_apart(workspace: Workspace, server: endpoint.StandIn) -> None:
    server.probabilities = False
    prepare(workspace, server.url)
    workspace.set("judge.answers", "probability")
    assert workspace.run("generate@1").returncode == 0
    refused = workspace.run("judge@1")
    assert refused.returncode == 3 and "gave no log-probabilities; set judge.answers: reasons" in refused.stderr


@pytest.mark.slow
def test_a_panel_votes_and_keeps_every_ballot(workspace: Workspace, server: endpoint.StandIn) -> None:
    server.reply = lambda body: ruling(body, body["model"] == "strict")
    prepare(workspace, server.url)
    for stage in ("generate@1", "judge@1"):
        assert workspace.run(stage).returncode == 0
    alone, asked = [row["id"] for row in verdicts(1) if row["passed"]], len(server.asked)
    passed = {}
    workspace.set("judge.panel", [{"model": "strict"}])
    for vote in ("any", "unanimous", "majority"):
        workspace.set("judge.vote", vote)
        assert workspace.run("judge@1").returncode == 0
        passed[vote] = [row["id"] for row in verdicts(1) if row["passed"]]
    assert alone and passed == {"any": alone, "unanimous": [], "majority": []}
    assert len(server.asked) == asked + metrics()["asked"], "the second judge alone was asked, and once"
    artifact = artifacts.open("data/verdicts/1")
    ballots = records.read(artifact.file("ballots.parquet"), records.BALLOT).to_pylist()
    said = {(row["model"], row["rulings"][0]["passed"]) for row in ballots}
    assert said == {("stand-in", True), ("strict", False)} and len(ballots) == 2 * metrics()["asked"]
    links = dict(trace.chain(verdicts(1)[0]["id"]))
    shown = [row for title, row in links.items() if title.startswith("ballot of judge")]
    assert [(row["judge"], row["rulings"][0]["passed"]) for row in shown] == [(1, True), (2, False)]
    assert any("data/verdicts/1/judge-2/exchanges.parquet" in title for title in links)
    matches = next(row for row in metrics()["agreement"] if row["rule"] == "matches_code")
    assert matches["agree"] == 0.0 and matches["kappa"] == 0.0
    workspace.set("judge.panel", [{"modle": "strict"}])
    ran = workspace.run("judge@1")
    assert ran.returncode == 3 and "judge.panel.0.modle: unknown key" in ran.stderr


def with_tests(body: dict[str, Any]) -> str:
    """Judges pass everything; a repair's bug is a sign; every third function gets tests that are wrong."""
    value = json.loads(ruling(body, fails=False))
    code = body["messages"][-1]["content"]
    number = int(re.findall(r"add_(\d+)", code)[-1]) if "add_" in code else 0
    if "broken_line" in value:
        value |= {"line": f"total = value + {number}", "broken_line": f"total = value - {number} - 1"}
    if "tests" in value:
        off = number % 3 == 0
        value["tests"] = [f"assert candidate({n}) == {(n + number) * number + off}" for n in (1, 2, 3)]
    return json.dumps(value)


@pytest.mark.slow
def test_the_teachers_tests_are_run_and_gate_where_they_should(workspace: Workspace, server: endpoint.StandIn) -> None:
    try:
        sandbox.isolation()
    except BadInput as error:
        pytest.skip(str(error))
    server.reply = with_tests
    prepare(workspace, server.url)
    workspace.set("generate.mix", {"code generation": 1.0, "code repair": 1.0, "code summarization": 1.0})
    workspace.set("generate.tests.languages", ["Python"])
    workspace.set("generate.tests.from", "teacher")
    workspace.set("generate.repair.bug", "teacher")
    workspace.set("judge.require_execution", False)
    workspace.set("judge.skip_failed_checks", False)
    workspace.set("judge.execution.limits.wall_s", 60.0)
    for stage in ("generate@1", "judge@1"):
        ran = workspace.run(stage)
        assert ran.returncode == 0, ran.stderr
    rows = {row["id"]: row for row in verdicts(1)}
    assert {row["task"] for row in rows.values()} == {"code generation", "code repair", "code summarization"}
    for row in rows.values():
        number = int(re.findall(r"add_(\d+)", row["solution"] + row["information"])[0])
        right = "passed" if number % 3 else "wrong answer"
        runs = row["task"] != "code summarization"
        assert row["execution"] == (right if runs else "") and bool(row["tests"]) == runs
    assert metrics()["execution"].keys() == {"passed", "wrong answer"}
    assert not any(one["kind"] == "execution" for row in rows.values() for one in row["rulings"])
    tested = next(row for row in rows.values() if row["tests"])
    shown = dict(trace.chain(tested["id"]))["the tests, run by judge"]
    assert shown == {"tests": "\n".join(tested["tests"]), "outcome": tested["execution"]}
    asked = len(server.asked)
    workspace.set("judge.require_execution", True)
    assert workspace.run("judge@1").returncode == 0
    assert len(server.asked) == asked
    for row in verdicts(1):
        assert row["passed"] == (rows[row["id"]]["passed"] and row["execution"] in ("", "passed"))
        gate = [one for one in row["rulings"] if one["kind"] == "execution"]
        assert [one["passed"] for one in gate] == ([row["execution"] == "passed"] if row["execution"] else [])


@pytest.mark.slow
def test_an_edited_rule_asks_the_judge_alone_again(workspace: Workspace, server: endpoint.StandIn) -> None:
    prepare(workspace, server.url)
    workspace.set("judge.skip_failed_checks", False)
    copy = workspace.path / "edited"
    for folder in ("executors", "stages"):
        shutil.copytree(REPOSITORY / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    python = {"PYTHONPATH": os.fspath(copy)}
    for stage in ("generate@1", "judge@1"):
        assert workspace.run(stage, **python).returncode == 0
    before, candidates = len(server.asked), root("data/candidates/1")
    tasks = [row["task"] for row in verdicts(1)]
    file = copy / "stages/lib/judging/rules/generation.yaml"
    text = file.read_text()
    edited = text.replace("ask: Does the solution do exactly", "ask: Does the solution really do exactly")
    assert edited != text
    file.write_text(edited)
    for stage in ("generate@1", "judge@1"):
        assert workspace.run(stage, **python).returncode == 0
    assert root("data/candidates/1") == candidates
    again = server.bodies[before:]
    assert len(again) == tasks.count("code generation") < len(tasks), "rows of other tasks keep their answers"
    assert all("really do exactly" in body["messages"][0]["content"] for body in again)


@pytest.mark.slow
def test_the_dataset_is_the_same_at_concurrency_1_and_256(workspace: Workspace, server: endpoint.StandIn) -> None:
    prepare(workspace, server.url)
    server.latency_s = 0.0
    workspace.set("generate.rows_per_round", 20)
    roots = []
    for concurrency in (1, 256):
        (workspace.path / "journal" / "exchanges.log").unlink(missing_ok=True)
        for section in ("generate", "judge"):
            workspace.set(f"{section}.teacher.concurrency", concurrency)
        server.most_in_flight = 0
        for stage in ("generate@1", "judge@1", "generate@2", "judge@2", "assemble"):
            ran = workspace.run(stage)
            assert ran.returncode == 0, ran.stderr
            server.latency_s = 0.2 if concurrency == 256 else 0.0
        roots.append(root("data/dataset"))
        assert server.most_in_flight > 10 if concurrency == 256 else server.most_in_flight == 1
    assert roots[0] == roots[1]
    pool = list(records.read_lines(Path("data/candidates/2/pool.jsonl")))
    for task in {case["task"] for case in pool}:
        for good in (True, False):
            group = [case for case in pool if (case["task"], case["good"]) == (task, good)]
            assert 0 < len(group) <= 8, "growth is capped, and both sides are there"
