"""generate.until: the last round goes on until a target is reached, and the judge then finds its answers."""

import json
import logging
import random
import re
import time
from pathlib import Path
from typing import Any

import endpoint
import pytest
from instances import prepare, root
from workspace import Workspace

from stages import generate, judge
from stages.lib import artifacts, records
from stages.lib.errors import BadInput

PRICES = {"stand-in": {"prompt": 1000.0, "completion": 1000.0}}  # an answer costs 0.12


WORDS = [first + last for first in ("ba", "de", "fi", "go", "lu", "mo") for last in ("ran", "sel", "tin", "vor", "wex")]


def judgement(body: dict[str, Any]) -> str:
    """Candidates that differ; of judgements every third fails its first rule."""
    value = json.loads(endpoint.answer_schema(body))
    if "instruction" in value:
        words = random.Random(endpoint.identity(body)).sample(WORDS, 12)
        value["instruction"] = f"Write a Python function that {' '.join(words)}."
    if endpoint.is_judgement(value):
        failing = int(endpoint.identity(body), 16) % 3 == 0
        for rule in value.values():
            rule["verdict"] = "pass"
        next(iter(value.values()))["verdict"] = "fail" if failing else "pass"
    return json.dumps(value)


@pytest.fixture
def server() -> Any:
    with endpoint.serve() as served:
        served.reply = judgement
        yield served


def first_round(workspace: Workspace, server: endpoint.StandIn, rows: int = 60) -> None:
    """Six rows of code generation in round 1, without tests."""
    prepare(workspace, server.url, rows)
    workspace.set("generate.tests.languages", [])
    workspace.set("generate.mix", {"code generation": 1.0})
    workspace.set("generate.rows_per_round", 6)
    generate.main("1")
    judge.main("1")


def passing(rounds: int = 2) -> list[dict[str, Any]]:
    files = [artifacts.open(f"data/verdicts/{number + 1}").file("verdicts.parquet") for number in range(rounds)]
    return [row for file in files for row in records.read(file, records.VERDICT).to_pylist() if row["passed"]]


def told() -> dict[str, Any]:
    return dict(json.loads(Path("metrics/generate-2.json").read_text())["until"])


def test_a_target_is_met_exactly_and_a_higher_one_asks_for_the_difference(
    workspace: Workspace, server: endpoint.StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first_round(workspace, server)
    workspace.set("generate.until", {"passing": 20, "candidates": 1000})
    generate.main("2")
    assert "round 2 ended by passing: 20 rows passing of" in caplog.text
    low, asked = root("data/candidates/2"), len(server.asked)
    judge.main("2")
    assert len(server.asked) == asked, "the journal has the judge's answers"
    assert len(passing()) == 20 == sum(told()["passing"].values())
    assert passing()[-1]["id"] == last_candidate(), "the last candidate is the one that reached it"
    exchanges = sum(records.read(file, records.EXCHANGE).num_rows for file in Path("data").rglob("exchanges.parquet"))
    assert asked - exchanges <= 2 * 4, "a request and its judgement for each of the four in flight"

    workspace.set("generate.until.passing", 26)
    generate.main("2")
    assert len(server.asked) > asked and max(server.answered.values()) == 1, "only what is new was asked"
    high = root("data/candidates/2")
    workspace.set("generate.until.passing", 20)
    workspace.set("generate.teacher.concurrency", 16)
    generate.main("2")
    assert root("data/candidates/2") == low != high
    (workspace.path / "journal" / "exchanges.log").unlink()
    generate.main("2")
    assert root("data/candidates/2") == low, "the same bytes at 4 and at 16 in flight"


def last_candidate() -> str:
    file = artifacts.open("data/candidates/2").file("candidates.parquet")
    return str(records.read(file, records.CANDIDATE)["id"].to_pylist()[-1])


def test_money_and_candidates_end_it_too(workspace: Workspace, server: endpoint.StandIn) -> None:
    first_round(workspace, server)
    for stage in ("generate", "judge"):
        for key, value in {"free": False, "prices": PRICES, "budget_usd": 1000.0}.items():
            workspace.set(f"{stage}.teacher.{key}", value)
    workspace.set("generate.until", {"passing": 500, "candidates": 15})
    generate.main("2")
    assert (told()["ended_by"], told()["candidates"]) == ("candidates", 15)
    workspace.set("generate.until", {"passing": 500, "usd": 4.5})
    generate.main("2")
    assert told()["ended_by"] == "usd" and 4.5 <= told()["usd"] < 4.5 + 0.4
    workspace.set("generate.until", {"passing": 500, "usd": 1.0})
    with pytest.raises(BadInput, match="the rounds before already reach usd"):
        generate.main("2")


def test_the_mix_holds_among_the_rows_that_pass(workspace: Workspace, server: endpoint.StandIn) -> None:
    first_round(workspace, server, rows=200)
    workspace.set("generate.mix", {"code generation": 70.0, "code repair": 30.0})
    workspace.set("generate.until", {"passing": 20, "per": "task"})
    generate.main("2")
    assert told()["passing"] == {"code generation": 14, "code repair": 6}
    judge.main("2")
    tasks = [row["task"] for row in passing()]
    assert {task: tasks.count(task) for task in tasks} == {"code generation": 14, "code repair": 6}


def test_rows_without_a_teacher_count_too(workspace: Workspace, server: endpoint.StandIn) -> None:
    first_round(workspace, server)
    workspace.set("generate.repair.extra", True)
    workspace.set("generate.tests.languages", ["Python"])
    workspace.set("generate.until", {"passing": 20})
    generate.main("2")
    judge.main("2")
    made = records.read(artifacts.open("data/candidates/2").file("candidates.parquet"), records.CANDIDATE).to_pylist()
    assert {row["task"] for row in made if not row["request"]} == {"code repair"}
    assert told()["ended_by"] == "passing" and len(passing()) == 20
    workspace.set("generate.method", "mutation")
    workspace.set("generate.repair.extra", False)
    workspace.set("generate.until", {"candidates": 15})
    generate.main("2")
    made = records.read(artifacts.open("data/candidates/2").file("candidates.parquet"), records.CANDIDATE).to_pylist()
    assert len(made) == 9 and not any(row["request"] for row in made)


def test_killed_on_the_way_it_goes_on(workspace: Workspace, server: endpoint.StandIn) -> None:
    first_round(workspace, server)
    workspace.set("generate.until", {"passing": 15})
    server.latency_s, before = 0.2, sum(server.answered.values())
    stage = workspace.start("generate@2")
    while sum(server.answered.values()) < before + 5:
        time.sleep(0.01)
    stage.kill()
    stage.wait()
    assert not Path("data/candidates/2/artifact.json").exists()
    server.latency_s = 0.0
    generate.main("2")
    assert sum(server.answered.values()) - len(server.answered) <= 4, "only what was in flight was asked again"
    assert told()["ended_by"] == "passing"


def test_bad_targets_are_named(workspace: Workspace, server: endpoint.StandIn) -> None:
    first_round(workspace, server, rows=20)
    params = workspace.path / "params.yaml"
    before, asked = params.read_text(), len(server.asked)
    for changes, message in (
        ({"until": {}}, "generate.until: Value error, give passing, candidates or usd"),
        ({"until": {"passing": 0}}, "generate.until.passing: Input should be greater than 0"),
        ({"until": {"passing": 9, "per": "repo"}}, "generate.until.per: Input should be 'task' or 'language'"),
        ({"until": {"usd": 5.0}}, "generate.until.usd: the teacher and the judge are free"),
        ({"until": {"passing": 9}, "method": "self-instruct"}, "rows of the method self-instruct don't"),
        ({"until": {"passing": 9}, "tests.from": "teacher", "tests.languages": ["Python"]}, "set generate.tests.from"),
        ({"until": {"passing": 1}}, "the rounds before already reach passing"),
    ):
        params.write_text(before)
        for key, value in changes.items():
            workspace.set(f"generate.{key}", value)
        with pytest.raises(BadInput, match=re.escape(message)):
            generate.main("2")
        assert len(server.asked) == asked, "said before anything is asked"
    params.write_text(before)
    workspace.set("generate.until", {"passing": 900})
    with pytest.raises(BadInput, match="cannot be reached: the coreset's functions are used up with"):
        generate.main("2")
