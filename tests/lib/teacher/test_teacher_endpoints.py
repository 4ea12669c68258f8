"""What endpoints do wrong, and how fast they may be asked: each fault's message, limits, several endpoints, kills."""

import json
import math
import re
import time
from pathlib import Path
from typing import Any

import endpoint
import pytest
import soak_teacher
from asking import SCHEMA, ask_all, asks, put, settings

from commands import journal as inventory
from stages.lib import params, teacher
from stages.lib.errors import BadInput
from stages.lib.teacher import parsing
from stages.lib.teacher.journal import Journal
from stages.lib.teacher.pacing import Pace


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.lib.teacher.client.BACKOFF_S", 0.05)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("html", 'not a chat completion: "<html>a proxy\'s welcome</html>"'),
        ("nothing", "not a chat completion: ''"),
        ("half", 'not a chat completion: \'{"choices": [{"mess\''),
        ("cut", "ServerDisconnectedError"),
        ("cut answer", "ClientPayloadError"),
        ("500", "HTTP 500: fault 500"),
        ("413", "HTTP 413: fault 413; the request is"),
        ("context", "Your messages resulted in 9001 tokens. [context_length_exceeded]; the request is"),
        ("400", "HTTP 400: fault 400"),
    ],
)
def test_a_row_that_dies_says_what_came_back(fault: str, message: str, tmp_path: Path) -> None:
    with endpoint.serve(lambda _: fault) as server:
        given = ask_all(settings(server.url, patience_s=60.0, max_attempts=2), asks(1), tmp_path)
    assert given[0].value is None and message in given[0].fault


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("401", r"refuses the key \(from teacher.api_key_env, unset\): HTTP 401"),
        ("404", "no such model or address: HTTP 404.*check teacher.base_url and teacher.model"),
        ("302", "no such model or address: HTTP 302"),
        ("quota", "refuses to go on: HTTP 429: You exceeded your current quota"),
        ("schema", "refuses the answer's schema: .*'minLength' is not permitted.*schema_limits: false.*structured"),
    ],
)
def test_what_no_row_can_survive_is_said_once(fault: str, message: str, tmp_path: Path) -> None:
    with endpoint.serve(lambda _: fault) as server, pytest.raises(BadInput, match=message):
        ask_all(settings(server.url), asks(30), tmp_path)
    assert len(server.asked) <= 8, "what was in flight, and no more"


def test_a_schema_that_is_refused_for_one_row_is_that_rows_affair(tmp_path: Path) -> None:
    with endpoint.serve(lambda number: "schema" if number == 3 else None) as server:
        given = ask_all(settings(server.url, concurrency=1), asks(6), tmp_path)
    assert [answer.value is None for answer in given] == [False, False, False, True, False, False]


def test_another_models_answer_stops_the_run_unless_it_is_expected(tmp_path: Path) -> None:
    with endpoint.serve() as server:
        server.model = "stand-in-2026-01-01"  # a dated version of the name
        assert ask_all(settings(server.url), asks(1), tmp_path / "dated")[0].value
        server.model = "cheap-model"
        with pytest.raises(BadInput, match=r"asked for 'stand-in' but answered as 'cheap-model'; set teacher\.model"):
            ask_all(settings(server.url), asks(20), tmp_path)
        assert len(Journal(tmp_path)) == 0
        assert ask_all(settings(server.url, answers_as="cheap-model"), asks(1), tmp_path)[0].value


@pytest.mark.parametrize(
    ("url", "message"),
    [("http://user:pw@host/v1", "contains a user name or password"), ("not a url", "has not answered|is not a URL")],
)
def test_bad_addresses_are_named(url: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message) as raised:
        ask_all(settings(url, patience_s=0.1), asks(1), tmp_path)
    assert "pw" not in str(raised.value)


def test_a_key_may_lie_in_a_file_and_is_never_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("sk-planted-77\n")
    monkeypatch.setenv("VAULT_KEY_FILE", str(tmp_path / "key"))
    with endpoint.serve() as server:
        assert ask_all(settings(server.url, api_key_env="VAULT_KEY"), asks(1), tmp_path / "journal")[0].value
        assert server.keys == {"Bearer sk-planted-77"}
        monkeypatch.setenv("VAULT_KEY_FILE", str(tmp_path / "nowhere"))
        with pytest.raises(BadInput, match="VAULT_KEY_FILE names a key file that cannot be read"):
            ask_all(settings(server.url, api_key_env="VAULT_KEY"), asks(2), tmp_path / "journal")
        monkeypatch.setenv("VAULT_KEY", "sk planted")
        with pytest.raises(BadInput, match="VAULT_KEY is not a key") as raised:
            ask_all(settings(server.url, api_key_env="VAULT_KEY"), asks(2), tmp_path / "journal")
    assert "planted" not in str(raised.value)


def test_an_endpoint_that_is_merely_slow_is_not_dead(tmp_path: Path) -> None:
    with endpoint.serve(latency_s=0.6) as server:
        given = ask_all(settings(server.url, patience_s=0.1, timeout_s=60.0), asks(4), tmp_path)
    assert all(answer.value and not answer.attempts for answer in given)


def test_random_refusals_are_not_congestion_and_many_are() -> None:
    pace = Pace(64)
    for number in range(400):
        pace.refused(0.0) if number % 20 == 0 else pace.answered()
    assert pace.wait(time.monotonic()) <= 0, "5% of refusals slow nothing down"
    for _ in range(20):
        pace.refused(30.0)
    assert 0 < pace.wait(time.monotonic()) <= 30, "an endpoint that refuses all is left alone as long as it asks"


def test_five_percent_of_each_fault_lose_no_row(tmp_path: Path) -> None:
    faults = endpoint.random_faults("429:0.05,500:0.05,broken:0.05,cut:0.05", seed=1)
    with endpoint.serve(faults, latency_s=0.005) as server:
        knobs = settings(server.url, concurrency=32, max_attempts=8, max_reasks=5, patience_s=60.0)
        given = ask_all(knobs, asks(300), tmp_path)
    assert [answer.id for answer in given] == [f"row {number}" for number in range(300)]
    assert all(answer.value for answer in given)


@pytest.mark.parametrize("limit", ["requests_per_minute", "tokens_per_minute"])
def test_a_true_token_bucket_is_used_up_and_hardly_ever_refuses(limit: str, tmp_path: Path) -> None:
    per_minute = {"requests_per_minute": 2400.0, "tokens_per_minute": 2400.0 * 120}[limit]
    with endpoint.serve() as server:
        server.limit(**{limit: per_minute})
        knobs = settings(server.url, concurrency=16, **{limit: per_minute}, patience_s=60.0)
        began = time.monotonic()
        given = ask_all(knobs, asks(120), tmp_path)
        seconds = time.monotonic() - began
    assert all(answer.value for answer in given)
    assert seconds >= 120 / 40 * 0.7, "the limit was kept"
    assert server.refused <= 6


def test_several_endpoints_share_the_work_each_within_its_limits(tmp_path: Path) -> None:
    with endpoint.serve(latency_s=0.02) as one, endpoint.serve(latency_s=0.02) as two:
        more = [{"base_url": two.url, "concurrency": 2}, {"base_url": "http://127.0.0.1:9/v1", "concurrency": 4}]
        knobs = settings(one.url, concurrency=6, more_endpoints=more, max_attempts=8, patience_s=60.0)
        given = ask_all(knobs, asks(60), tmp_path)
        assert all(answer.value for answer in given), "one of them is not there: the others do its work"
        assert len(one.asked) + len(two.asked) == 60 and two.asked
        assert one.most_in_flight <= 6 and two.most_in_flight <= 2


def test_killed_and_finished_pays_for_no_more_than_was_in_flight(tmp_path: Path) -> None:
    told = soak_teacher.run(3, seed=1, folder=tmp_path)
    assert told["missing"] == 0 == told["durable_and_asked_again"]
    assert told["paid_twice"] <= 3 * soak_teacher.IN_FLIGHT


def test_the_journal_is_described_and_compacted(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    first = put(journal, 1)
    put(journal, 2, "damaged")
    put(journal, 1, "later")
    data = journal.path.read_bytes().replace(b"damaged", b"Damaged")
    journal.path.write_bytes(data)
    with pytest.raises(BadInput, match="is in use"):
        inventory.compact(tmp_path)
    journal.close()
    said = "\n".join(inventory.describe(tmp_path))
    assert "1 responses" in said and "1 damaged and 1 superseded" in said
    before, after = inventory.compact(tmp_path)
    again = Journal(tmp_path)
    reply = again.get(first)
    assert after < before and reply and reply.text == "later"
    assert again.spent("test") == 1.0, "what a superseded answer cost stays counted"
    with pytest.raises(BadInput, match="does not exist"):
        inventory.describe(tmp_path / "nowhere")


def test_a_template_without_a_schema_still_gets_its_json(tmp_path: Path) -> None:
    for structured in ("json_object", "none"):
        with endpoint.serve() as server:
            ask = teacher.Ask("row", [{"role": "user", "content": structured}], SCHEMA)
            assert ask_all(settings(server.url, structured=structured), [ask], tmp_path / structured)[0].value
            sent: dict[str, Any] = server.bodies[0].get("response_format", {})
            assert sent == ({"type": "json_object"} if structured == "json_object" else {})


@pytest.mark.slow
def test_a_plan_costs_nothing_and_names_the_price(workspace: Any) -> None:
    import subprocess
    import sys

    def plan() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "commands", "plan"]
        return subprocess.run(command, env=workspace.environment(), capture_output=True, text=True, cwd=workspace.path)

    workspace.set("generate.teacher.free", False)
    refused = plan()
    assert refused.returncode == 3 and "has no price for weights:qwen2.5" in refused.stderr
    prices = {"weights:qwen2.5-coder-1.5b-instruct": {"prompt": 1.0, "completion": 10.0}}
    workspace.set("generate.teacher.prices", prices)
    said = plan()
    assert said.returncode == 0 and "generate@2" in said.stdout and "judge@1" in said.stdout
    assert "generate@1: may cost up to" in said.stdout and "its budget_usd is 0.00" in said.stdout
    assert "evolve@1" not in said.stdout, "there is no dataset to evolve"
    asked = {stage: int(re.findall(rf"{stage} +(\d+)", said.stdout)[0]) for stage in ("judge@1", "judge@2")}
    planted = params.read(workspace.path / "params.yaml")["judge"]["audit"]["seeds"]
    assert asked["judge@1"] - asked["judge@2"] == planted > 0, "the audit's requests, in round 1 alone"
    alpaca = [{"instruction": f"Write function {number}.", "input": "", "output": "x"} for number in range(5)]
    (workspace.path / "seeds.json").write_text(json.dumps(alpaca))
    workspace.set("evolve.seeds", {"dataset": False, "file": "seeds.json"})
    workspace.set("evolve.judge", {"free": False, "prices": prices})
    workspace.set("sample.engine", "endpoint")
    workspace.set("sample.endpoint.base_url", "http://localhost:1/v1")
    workspace.set("sample.endpoint.base", "one")
    workspace.set("sample.endpoint.tuned", "two")
    lines = {line.split("  ")[0]: line for line in plan().stdout.splitlines()}
    assert re.match(r"evolve@2 +10 ", lines["evolve@2"]), "two requests a seed"
    assert re.match(r"evolve@2 judge +5 ", lines["evolve@2 judge"]) and "evolve@2 judge: may cost up to" in str(lines)
    assert re.match(r"sample@tuned +24 ", lines["sample@tuned"])
    assert not Path("journal").exists()


def test_a_words_share_is_that_of_the_tokens_it_begins_with() -> None:
    def reply(*tokens: tuple[str, float]) -> str:
        return json.dumps([{"token": token, "logprob": math.log(p)} for token, p in tokens])

    said = reply((" Yes", 0.3), ("yes", 0.2), ("NO", 0.1), ("n", 0.1), ("Maybe", 0.3), ("", 0.001))
    assert parsing.shares(said, ("Yes", "No")) == ({"Yes": 0.7143, "No": 0.2857}, "")
    value, fault = parsing.shares(reply(("Perhaps", 0.97), ("Yes", 0.03)), ("Yes", "No"))
    assert value is None and fault == "the answer begins with 'perhaps', not with one of Yes, No"
    for text in ("Yes", "", "{}", "[1]", '[{"token": "Yes"}]'):
        assert "no log-probabilities" in parsing.shares(text, ("Yes", "No"))[1]
