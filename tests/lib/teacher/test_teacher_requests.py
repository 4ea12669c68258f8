"""The requests that asks become: what stays as it was, what is left out, and what an endpoint won't take."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import endpoint
import pytest
from asking import SCHEMA, ask_all, asks, settings
from pydantic import ValidationError
from test_teacher_batches import batched
from workspace import REPOSITORY

from stages.generate import Params
from stages.lib import params, teacher
from stages.lib.errors import BadInput
from stages.lib.methods import material
from stages.lib.methods.assignment import Assignment, Wording
from stages.lib.methods.method import load_method
from stages.lib.teacher import sharing
from stages.lib.teacher.asks import Requests
from stages.lib.teacher.journal import Journal

MESSAGES = [{"role": "user", "content": "q"}]
ASK = teacher.Ask("row", MESSAGES, SCHEMA)
UNSAMPLED: dict[str, Any] = {"temperature": None, "top_p": None, "seed": None}


def body(**changes: Any) -> dict[str, Any]:
    return Requests(settings("http://x/v1", **changes), 1).of_ask(ASK).body


def test_a_request_has_the_hash_that_it_always_had() -> None:
    made = Requests(settings("http://x/v1"), 1)
    assert [
        made.of_ask(ASK).key[:16],
        made.of_ask(ASK, MESSAGES * 2, 1).key[:16],
        made.of_text(teacher.Text("row", "def f", ("\n",))).key[:16],
        made.of_text(teacher.Text("row", MESSAGES)).key[:16],
        made.of_choice(teacher.Choice("row", MESSAGES, ("Yes", "No"))).key[:16],
    ] == ["df59a53a58840da2", "c3be426266d15002", "1bb396a324d8f099", "7de00c110d32d8f7", "3d92342ed605c835"]


def test_the_evening_runs_requests_are_still_answered() -> None:
    """Three rows of its first round, and its journal. A row whose task's prompt is changed on purpose leaves the file
    beside this one."""
    segments = (REPOSITORY / "examples/evening/journal").glob("*.zst")
    answered = {record["key"] for segment in segments for record in sharing.read(segment)}
    knobs = params.load("generate", Params, REPOSITORY / "params.yaml")
    method = load_method(knobs.method)
    pool, _ = material.freeze(method, [], [], knobs.pool.cases, knobs.pool.max_characters, knobs.styles)
    wording = Wording(**knobs.examples.model_dump(), styles=knobs.styles)
    rows = json.loads(Path(__file__).with_name("evening.json").read_text())
    for row in rows:
        assert row["request"] in answered
        drawn = Assignment.draw(method, row["function"], pool, knobs.seed, knobs.mix, wording)
        assert drawn.task.name == row["task"]
        ask = teacher.Ask(row["function"]["id"], drawn.messages(row["function"]["docstring"]), drawn.schema)
        assert Requests(knobs.teacher, knobs.seed).of_ask(ask).key == row["request"]
    assert len(rows) == 3


def test_a_default_is_no_parameter_of_an_artifact() -> None:
    told = settings("http://x/v1").result
    assert not told.keys() & {"seed", "reasoning_effort", "reasoning_tokens", "extra"}
    told = settings("http://x/v1", seed=None, reasoning_effort="low", reasoning_tokens=5, extra={"a": 1}).result
    assert (told["seed"], told["reasoning_effort"], told["reasoning_tokens"], told["extra"]) == (
        None,
        "low",
        5,
        {"a": 1},
    )


def test_a_field_that_is_null_is_not_sent_and_each_is_in_the_hash(tmp_path: Path) -> None:
    assert body().keys() >= {"temperature", "top_p", "seed", "max_completion_tokens"}
    with endpoint.serve() as server:
        knobs = settings(server.url, **UNSAMPLED, reasoning_effort="low", reasoning_tokens=9, extra={"user": "me"})
        assert all(answer.value for answer in ask_all(knobs, asks(2), tmp_path))
        for sent in server.bodies:
            assert sent.keys() == {
                *("model", "messages", "response_format", "max_completion_tokens", "reasoning_effort", "user")
            }
            assert (sent["max_completion_tokens"], sent["reasoning_effort"], sent["user"]) == (59, "low", "me")
    changes: list[dict[str, Any]] = [
        *({name: None} for name in UNSAMPLED),
        {"reasoning_effort": "low"},
        {"reasoning_tokens": 1},
        {"extra": {"a": 1}},
    ]
    keys = {Requests(settings("http://x/v1", **one), 1).of_ask(ASK).key for one in [{}, *changes]}
    assert len(keys) == 7


def test_equal_questions_about_two_rows_stay_two_requests_without_a_seed(tmp_path: Path) -> None:
    same = [teacher.Ask(row, MESSAGES, SCHEMA) for row in ("one", "two")]
    with endpoint.serve() as server:
        ask_all(settings(server.url, seed=None), same, tmp_path)
        ask_all(settings(server.url, seed=None), same, tmp_path)
        assert len(server.asked) == 2 and server.bodies[0] == server.bodies[1]
        ask_all(batched(server.url, seed=None), [teacher.Ask("three", MESSAGES, SCHEMA)], tmp_path)
        assert server.bodies[2] == server.bodies[0]


def test_extra_may_take_a_field_out_and_name_the_limit_otherwise() -> None:
    made = Requests(settings("http://x/v1", extra={"max_completion_tokens": None, "max_tokens": 70}), 1).of_ask(ASK)
    assert made.body["max_tokens"] == made.most_tokens == 70 and "max_completion_tokens" not in made.sent


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"temperature": 1.0}, r"temperature has a key of its own; set teacher\.temperature"),
        ({"model": "other"}, "model has a key of its own"),
        ({"n": 2}, "n would change the form of an answer"),
        ({"stream": True}, "stream would change the form"),
        ({"max_completion_tokens": 5}, r"set teacher\.max_tokens"),
        ({"max_completion_tokens": None}, "an answer needs a limit: give max_tokens"),
        ({"max_completion_tokens": None, "max_tokens": 0}, "an answer needs a limit"),
    ],
)
def test_extra_fields_that_would_break_the_client_are_named(extra: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings("http://x/v1", extra=extra)


WORDS: dict[str, Callable[[str], Any]] = {
    "OpenAI": endpoint.openai,
    "OpenAI, no code": lambda field: {"error": {"message": f"Unsupported parameter: '{field}'", "param": field}},
    "detail": lambda field: {"detail": f"Unsupported parameter: {field}"},
    "Azure": lambda field: {"error": {"message": f"Unrecognized request argument supplied: {field}", "code": None}},
    "vLLM": lambda field: {"message": f"[{{'loc': ('body', '{field}'), 'msg': 'Extra inputs are not permitted'}}]"},
    "Google": lambda field: {"error": {"message": f'Invalid JSON payload received. Unknown name "{field}"'}},
    "camel case": lambda field: {"error": "Model x does not support parameter " + field.title().replace("_", "") + "."},
}


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize(
    ("field", "advice"),
    [
        ("temperature", r"set `temperature: null` under generate\.teacher"),
        ("top_p", r"set `top_p: null` under generate\.teacher"),
        ("seed", r"set `seed: null` under generate\.teacher"),
        ("reasoning_effort", r"set `reasoning_effort` under generate\.teacher to a value that it takes, or to null"),
        ("max_completion_tokens", r"set `extra: {max_completion_tokens: null, max_tokens: …}` under generate\.teacher"),
        ("enable_thinking", "take enable_thinking out of `extra`"),
    ],
)
def test_an_unsupported_field_stops_the_run_after_one_request(
    field: str, advice: str, words: str, tmp_path: Path
) -> None:
    with endpoint.serve() as server:
        server.unsupported, server.words = (field,), WORDS[words]
        knobs = settings(server.url, reasoning_effort="low", extra={"enable_thinking": True})
        with (
            pytest.raises(BadInput, match=f"does not take {field} as it is sent to stand-in: HTTP 400: .*; {advice}"),
            teacher.connect(knobs, label="generate@1", seed=1, journal=tmp_path) as model,
        ):
            list(model.answers(asks(30), total=30))
        assert len(server.asked) == 1 and len(Journal(tmp_path)) == 0


def test_a_judge_that_gives_no_probabilities_is_told_of(tmp_path: Path) -> None:
    choices = [teacher.Choice(f"row {number}", MESSAGES, ("Yes", "No")) for number in range(9)]
    with endpoint.serve() as server:
        server.unsupported = ("logprobs",)
        with (
            pytest.raises(BadInput, match=r"does not take logprobs .*; set judge\.answers: reasons"),
            teacher.connect(settings(server.url), label="judge@1", seed=1, journal=tmp_path) as model,
        ):
            list(model.answers(choices, total=9))
        assert len(server.asked) == 1
        server.unsupported = ("temperature",)
        with teacher.connect(settings(server.url, **UNSAMPLED), label="judge@1", seed=1, journal=tmp_path) as model:
            assert all(answer.value for answer in model.answers(choices, total=9))


def test_a_batch_stops_too(tmp_path: Path) -> None:
    with endpoint.serve() as server:
        server.unsupported = ("top_p",)
        with pytest.raises(BadInput, match=r"does not take top_p .*set `top_p: null` under teacher"):
            ask_all(batched(server.url), asks(4), tmp_path)


def test_one_row_that_is_refused_for_a_word_is_no_unsupported_field(tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> str:
        server.unsupported = ("temperature",)
        return endpoint.answer_schema(body)

    with endpoint.serve() as server:
        server.reply = reply
        first, second = ask_all(settings(server.url, concurrency=1), asks(2), tmp_path)
    assert first.value and second.value is None and "does not support" in second.fault
