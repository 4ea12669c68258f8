"""Models that reason: their thoughts are journaled, priced and counted, and are no part of an answer."""

import json
from pathlib import Path
from typing import Any

import endpoint
import pyarrow.parquet as pq
import pytest
import soak_teacher
from asking import ask_all, asks, settings
from instances import prepare, root
from workspace import Workspace

from stages.lib import records, teacher
from stages.lib.errors import BadInput
from stages.lib.teacher import replies
from stages.lib.teacher.journal import Journal

PRICES = {"stand-in": {"prompt": 1000.0, "completion": 1000.0}}  # an answer costs 0.12, a thought 0.007


@pytest.mark.parametrize(
    ("how", "thought", "tokens", "cost"),
    [
        ("field", endpoint.THOUGHT, 5, 0.12),
        ("tags", endpoint.THOUGHT, 5, 0.12),
        ("closing tag", endpoint.THOUGHT, 5, 0.12),
        ("counted", "", 7, 0.127),
        ("counted apart", "", 7, 0.127),
    ],
)
def test_reasoning_is_journaled_counted_and_paid(
    how: str, thought: str, tokens: int, cost: float, tmp_path: Path
) -> None:
    with endpoint.serve() as server:
        server.reasons = how
        server.reply = lambda _: '{"instruction": "Add two numbers, please."}' + " " * 20
        knobs = settings(server.url, free=False, prices=PRICES, budget_usd=9.0)
        for _ in range(2):  # asked, then replayed
            with (
                teacher.connect(knobs, label="t", seed=1, journal=tmp_path / "journal") as model,
                model.ledger(tmp_path) as ledger,
            ):
                for answer in model.answers(asks(2), total=2):
                    ledger.add(answer)
                    assert answer.value == {"instruction": "Add two numbers, please."} and not answer.attempts
                    assert answer.reasoning == thought
                    assert "think" not in answer.exchanges[0].reply.text
                told = ledger.metrics()
            assert told["reasoning_tokens"] == pytest.approx(2 * tokens, abs=1)
            assert told["spend_usd"] == pytest.approx(2 * cost)
            rows = pq.read_table(tmp_path / "reasoning.parquet").to_pylist()
            assert [row["reasoning"] for row in rows] == [thought, thought]
            assert records.read(tmp_path / "exchanges.parquet", records.EXCHANGE).num_rows == 2
        assert len(server.asked) == 2
    assert Journal(tmp_path / "journal").spent("t") == pytest.approx(2 * cost)


def test_a_model_that_does_not_reason_leaves_no_trace_of_it(tmp_path: Path) -> None:
    with (
        endpoint.serve() as server,
        teacher.connect(settings(server.url), label="t", seed=1, journal=tmp_path / "journal") as model,
        model.ledger(tmp_path) as ledger,
    ):
        for answer in model.answers(asks(1), total=1):
            ledger.add(answer)
        assert "reasoning_tokens" not in ledger.metrics()
    assert not (tmp_path / "reasoning.parquet").exists()
    assert b"reasoning" not in (tmp_path / "journal/exchanges.log").read_bytes()


def test_budgets_reserve_for_reasoning(tmp_path: Path) -> None:
    """Without it a request reserves 0.2 to 0.4 dollars, with 1,000 more tokens over 1."""
    with endpoint.serve() as server:
        knobs = {"free": False, "prices": PRICES, "budget_usd": 1.0, "max_reasks": 0}
        assert ask_all(settings(server.url, **knobs), asks(1), tmp_path / "without")[0].value
        with pytest.raises(BadInput, match="the budget is reached"):
            ask_all(settings(server.url, **knobs, reasoning_tokens=1000), asks(1), tmp_path / "with")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("refusal", "the model refuses: I'm sorry, I can't assist with that."),
        ("content filter", "the endpoint's content filter withheld the answer"),
        (
            "all thought",
            "the reasoning took all 20 tokens and left none for the answer; raise teacher.reasoning_tokens",
        ),
    ],
)
def test_an_answer_that_is_withheld_says_why(fault: str, message: str, tmp_path: Path) -> None:
    with endpoint.serve(lambda number: fault if number == 0 else None) as server:
        dead, alive = ask_all(settings(server.url, concurrency=1, max_reasks=0), asks(2), tmp_path)
    assert dead.value is None and dead.fault == message and len(dead.attempts) == 1
    assert alive.value


@pytest.mark.parametrize(
    ("text", "answer", "thought"),
    [
        ("<think>\nwhy\n</think>\n\n{}", "{}", "why"),
        ("why\n</think>{}", "{}", "why"),
        ("<think></think>{}", "{}", ""),
        ("<think>why not", "", "why not"),
        ('{"a": "<think>x</think>"}', '{"a": "<think>x</think>"}', ""),
        ("print('<think>')", "print('<think>')", ""),
        ("<think>a</think> b </think> c", "b </think> c", "a"),
    ],
)
def test_thoughts_are_told_from_answers(text: str, answer: str, thought: str) -> None:
    said: Any = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {}}
    reply = replies.read(said)
    assert (reply.text, reply.reasoning) == (answer, thought)
    plain = replies.read({"choices": [{"text": text}]})
    assert (plain.text, plain.reasoning) == (text, ""), "a prompt's continuation is taken as it is"


def test_a_round_in_every_dialect_delivers_or_buries_every_row(tmp_path: Path) -> None:
    faults = endpoint.random_faults("refusal:0.1,content filter:0.1,all thought:0.1,broken:0.1,500:0.05", seed=2)
    for how in ("field", "tags", "closing tag", "counted"):
        with endpoint.serve(faults) as server:
            server.reasons, server.unsupported = how, ("temperature", "top_p", "seed")
            knobs = settings(server.url, temperature=None, top_p=None, seed=None, patience_s=60.0, max_attempts=8)
            given = ask_all(knobs, asks(80), tmp_path / how)
            assert [answer.id for answer in given] == [f"row {number}" for number in range(80)]
            assert all(answer.value or answer.fault for answer in given)
            assert sum(1 for answer in given if answer.value) > 60
            assert max(server.answered.values()) == 1


def test_killed_at_an_endpoint_of_todays_kind(tmp_path: Path) -> None:
    told = soak_teacher.run(2, seed=3, folder=tmp_path / "dialects", dialect=soak_teacher.DIALECTS)
    assert told["missing"] == 0 == told["durable_and_asked_again"]
    assert told["paid_twice"] <= 2 * soak_teacher.IN_FLIGHT


def test_a_row_keeps_its_reasoning_only_if_asked(workspace: Workspace) -> None:
    with endpoint.serve() as server:
        server.reasons = "field"
        prepare(workspace, server.url)
        workspace.set("generate.tests.languages", [])
        workspace.set("generate.rows_per_round", 4)
        assert workspace.run("generate@1").returncode == 0
        without = root("data/candidates/1")
        assert "reasoning" not in pq.read_table("data/candidates/1/candidates.parquet").column_names
        workspace.set("generate.keep_reasoning", True)
        assert workspace.run("generate@1").returncode == 0 and root("data/candidates/1") != without
        assert workspace.run("judge@1").returncode == 0
        rows = pq.read_table("data/verdicts/1/verdicts.parquet").to_pylist()
        assert rows and {row["reasoning"] for row in rows} == {endpoint.THOUGHT}
        told = json.loads(Path("metrics/generate-1.json").read_text())
        assert told["reasoning_tokens"] > 0
