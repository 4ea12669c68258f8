"""judge, run as dvc runs it: checks first, then the model's rules; good and bad cases feed the next round."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import endpoint
import pytest
from conftest import Workspace
from instances import prepare, root

from stages.lib import artifacts, records


def judgement(body: dict[str, Any]) -> str:
    """Candidates as ever; of judgements every third fails its first rule."""
    value = json.loads(endpoint.answer_schema(body))
    if "overall" in value:
        failing = int(value["overall"]["reason"][-30:].encode().hex(), 16) % 3 == 0
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
        assert not judged or judged[-1]["rule"] == "overall"
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


def test_killed_and_run_again(workspace: Workspace, server: endpoint.StandIn) -> None:
    prepare(workspace, server.url)
    workspace.set("judge.skip_failed_checks", False)
    assert workspace.run("generate@1").returncode == 0
    assert workspace.run("judge@1").returncode == 0
    undisturbed = root("data/verdicts/1")
    (workspace.path / "journal" / "exchanges.log").unlink()
    server.answered.clear()
    server.latency_s = 0.15
    stage = workspace.start("judge@1")
    while len(server.answered) < 5:
        time.sleep(0.01)
    stage.send_signal(signal.SIGKILL)
    stage.wait()
    assert workspace.run("judge@1").returncode == 0
    assert root("data/verdicts/1") == undisturbed
    assert sum(server.answered.values()) - len(server.answered) <= 4


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
