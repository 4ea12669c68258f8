"""The first contact with an endpoint: what is wrong with every row is said after one request, and names the knob."""

import json
import logging
import time
from pathlib import Path

import endpoint
import pytest
from asking import SCHEMA, ask_all, asks, put, settings

from commands import journal as inventory
from stages.lib import teacher
from stages.lib.errors import BadInput
from stages.lib.teacher import sharing
from stages.lib.teacher.journal import Journal


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr("stages.lib.teacher.client.BACKOFF_S", 0.01)
    caplog.set_level(logging.INFO)
    return caplog


def test_what_every_row_would_meet_is_met_by_one(tmp_path: Path) -> None:
    with endpoint.serve(lambda _: "404") as server, pytest.raises(BadInput, match="no such model or address"):
        ask_all(settings(server.url), asks(30), tmp_path)
    assert len(server.asked) == 1


def test_another_model_is_found_out_by_one_token(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    with endpoint.serve() as server:
        server.models = ["big-model"]
        server.model = "big-model"
        with pytest.raises(BadInput, match=r"asked for 'stand-in' but answered as 'big-model'; set teacher\.model"):
            ask_all(settings(server.url), asks(30), tmp_path)
    assert "serves big-model; teacher.model is stand-in" in said.text
    assert [body["max_completion_tokens"] for body in server.bodies] == [1]
    assert len(Journal(tmp_path)) == 0


def test_a_server_that_answers_under_any_name_is_used(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    with endpoint.serve() as server:
        server.models = ["/models/file.gguf"]
        assert all(answer.value for answer in ask_all(settings(server.url), asks(5), tmp_path))
    assert len(server.asked) == 6 and len(Journal(tmp_path)) == 5 and "serves /models/file.gguf" in said.text


def test_a_priced_endpoint_is_asked_for_rows_alone(tmp_path: Path) -> None:
    prices = {"stand-in": {"prompt": 1.0, "completion": 1.0}}
    with endpoint.serve() as server:
        server.models = ["another"]
        ask_all(settings(server.url, free=False, prices=prices, budget_usd=1.0), asks(5), tmp_path)
    assert len(server.asked) == 5


def test_a_listed_model_is_asked_for_rows_alone_and_a_replay_for_nothing(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    with endpoint.serve() as server:
        server.models = ["stand-in"]
        first = ask_all(settings(server.url), asks(5), tmp_path)
        assert len(server.asked) == 5 and "replayed" not in said.text
    assert ask_all(settings(server.url), asks(5), tmp_path) == first, "the endpoint is gone"
    assert "cannot be reached" not in said.text
    assert "5 answers replayed from the journal, 0 new (make journal FORGET=stand-in" in said.text


def test_an_endpoint_that_is_down_is_said_at_once(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    began = time.time()
    with pytest.raises(BadInput, match="has not answered"):
        ask_all(settings("http://127.0.0.1:9/v1", patience_s=0.2, max_attempts=50), asks(5), tmp_path)
    warned = next(record for record in said.records if "cannot be reached" in record.getMessage())
    assert warned.created - began < 2 and "teacher.base_url" in warned.getMessage()


def test_a_slow_endpoint_is_told_from_one_that_is_down(tmp_path: Path) -> None:
    with (
        endpoint.serve(latency_s=5.0) as server,
        pytest.raises(BadInput, match=r"no answer within teacher.timeout_s = 0.3 s; if it is slow, raise timeout_s"),
    ):
        ask_all(settings(server.url, timeout_s=0.3, patience_s=0.2), asks(5), tmp_path)


def test_ignored_limits_name_the_knob_but_not_to_the_model(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    with endpoint.serve() as server:
        server.reply = lambda _: json.dumps({"instruction": "x"})
        given = ask_all(settings(server.url), asks(4), tmp_path / "on")
        assert all("which this endpoint ignores: set teacher.schema_limits: false" in one.fault for one in given)
        assert said.text.count("does not keep to its schema") == 1
        assert "schema_limits" not in json.dumps(server.bodies)
        assert all(one.value for one in ask_all(settings(server.url, schema_limits=False), asks(4), tmp_path / "off"))


def test_other_weights_are_another_request(tmp_path: Path) -> None:
    def key(model: str) -> str:
        ask = teacher.Ask("row", [{"role": "user", "content": "x"}], SCHEMA)
        with teacher.connect(settings("embedded", model=model), label="test", seed=1, journal=tmp_path) as asked:
            return asked.request(ask).key

    file = tmp_path / "model.gguf"
    file.write_bytes(b"some weights")
    first = key(f"path:{file}")
    assert key(f"path:{file}") == first
    file.write_bytes(b"other weights")
    assert key(f"path:{file}") != first


def test_weights_that_cannot_be_had_are_looked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def unreachable(name: str) -> Path:
        looked.append(name)
        raise BadInput(f"{name} is not there and cannot be fetched")

    name = "weights:qwen2.5-coder-0.5b-instruct"
    monkeypatch.setattr("stages.lib.models.location.locate", unreachable)
    with pytest.raises(BadInput, match="is not there and cannot be fetched"):
        ask_all(settings("embedded", model=name), asks(30), tmp_path)
    assert looked == [name]


def test_a_models_answers_are_forgotten_and_their_cost_is_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    request = put(journal, 1)
    put(journal, 2)
    sharing.seal(journal)
    with pytest.raises(BadInput, match="is in use"):
        inventory.forget("m", tmp_path)
    journal.close()
    with pytest.raises(BadInput, match="no response of 'n'; it has those of m"):
        inventory.forget("n", tmp_path)
    assert inventory.forget("m", tmp_path) == 2
    again = Journal(tmp_path)
    assert again.get(request) is None and again.spent("test") == 1.0
    assert sharing.take_in(again) == 0, "the shared segment does not bring them back"


def test_the_inventory_shows_names_in_full(tmp_path: Path) -> None:
    name = "weights:" + "long-" * 20 + "name"
    with endpoint.serve() as server:
        ask_all(settings(server.url, model=name), asks(1), tmp_path)
    assert any(line.startswith(f"{name} ") for line in inventory.describe(tmp_path))
