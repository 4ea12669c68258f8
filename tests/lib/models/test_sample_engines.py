"""sample on an endpoint (a stand-in and the real llama.cpp server) and on vLLM where it is installed."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import endpoint
import pytest
from sampling import run
from tiny import SMOLLM2
from workspace import Workspace

from stages.lib import artifacts
from stages.lib.benchmarks import suites
from stages.lib.engines import offline
from stages.lib.errors import BadInput
from stages.lib.models import causal, decoding

HUMANEVAL = suites.load("humaneval")


def solve(body: dict[str, Any]) -> str:
    """The canonical body of the problem that is asked, and more after it; the seed in a comment."""
    text = body.get("prompt") or body["messages"][0]["content"]
    problem = next(p for p in HUMANEVAL.problems.values() if p.prompt.rstrip() in text)
    return f"{problem.canonical_solution}    # {body['seed']}\n\nprint(1)\nmore"


@pytest.fixture
def server() -> Iterator[endpoint.StandIn]:
    with endpoint.serve() as state:
        state.reply = solve
        yield state


@pytest.fixture
def served(workspace: Workspace, server: endpoint.StandIn) -> Workspace:
    """A workspace in which the stand-in answers ten problems."""
    prepare(workspace, base_url=server.url, base="small", tuned="small-tuned", patience_s=0.5, max_attempts=2)
    return workspace


def prepare(workspace: Workspace, **keys: Any) -> None:
    for key, value in {"engine": "endpoint", "problems": 10, "max_new_tokens": 16}.items():
        workspace.set(f"sample.{key}", value)
    for key, value in keys.items():
        workspace.set(f"sample.endpoint.{key}", value)


def make_tuned(text: str) -> None:
    """Something sealed as models/tuned: an endpoint's model is known here by its root hash alone."""
    with artifacts.create("models/tuned", stage="train", inputs=[], params={}, seed=0) as out:
        artifacts.write_text(out / "weights", text)


def test_a_prompt_goes_to_the_completions_api_with_the_stops_that_it_takes(
    served: Workspace, server: endpoint.StandIn
) -> None:
    rows = run(served)
    assert [row["task_id"] for row in rows] == [f"HumanEval/{number}" for number in range(10)]
    for row, body in zip(rows, sorted(server.bodies, key=lambda body: order(body["prompt"])), strict=True):
        assert body["prompt"] == row["prompt"] == HUMANEVAL.problems[row["task_id"]].prompt.rstrip()
        assert body["stop"] == ["\nclass", "\ndef", "\n#", "\nif"] and body["max_tokens"] == 16
        assert (body["model"], body["temperature"], body["top_p"]) == ("small", 0.0, 1.0)
        assert row["completion"].endswith(f"    # {body['seed']}\n\nprint") and row["finished"]
    metrics = json.loads(Path("metrics/sample-base.json").read_text())
    assert (metrics["asked"], metrics["completions"], metrics["dead_letters"]) == (10, 10, 0)
    assert (metrics["prompt_tokens"], metrics["completion_tokens"]) == (1000, 200)
    made = artifacts.open("data/completions/base")
    assert made.params["model"] == "small" and made.file("exchanges.parquet").is_file()
    assert server.url not in json.dumps(made.params)


def order(prompt: str) -> int:
    return [problem.prompt.rstrip() for problem in HUMANEVAL.problems.values()].index(prompt)


def test_a_message_goes_to_chat_completions_and_every_sample_has_a_seed(
    served: Workspace, server: endpoint.StandIn
) -> None:
    for key, value in {"prompt": "chat", "samples": 3, "temperature": 0.8, "problems": 2}.items():
        served.set(f"sample.{key}", value)
    rows = run(served)
    assert [(row["task_id"], row["sample"]) for row in rows[2:4]] == [("HumanEval/0", 2), ("HumanEval/1", 0)]
    assert len({row["completion"] for row in rows}) == len({body["seed"] for body in server.bodies}) == 6
    said = server.bodies[0]["messages"]
    assert [message["role"] for message in said] == ["user"] and "Complete the following Python" in said[0]["content"]
    assert "max_tokens" not in server.bodies[0] and "stop" not in server.bodies[0]  # its stop is no plain text


def test_explain_describes_first_and_writes_from_that(served: Workspace, server: endpoint.StandIn, shared_data) -> None:  # type: ignore[no-untyped-def]
    folder = shared_data("humanevalpack").parent
    for key, value in {"benchmark": "humanevalexplain-go", "data": str(folder), "problems": 2}.items():
        served.set(f"sample.{key}", value)
    server.reply = lambda body: "It does the thing." if "Provide a concise" in body["prompt"] else "  return 1\n}"
    rows = run(served)
    assert len(server.asked) == 4 and all(row["prompt"].startswith("It does the thing.") for row in rows)


def test_killed_it_asks_for_nothing_twice_that_was_answered(served: Workspace, server: endpoint.StandIn) -> None:
    served.set("sample.endpoint.concurrency", 2)
    served.set("sample.problems", 40)
    server.latency_s = 0.05
    server.stop(served.start("sample@base"), answers=8)
    assert 8 <= len(server.answered) < 40 and not Path("data/completions/base/artifact.json").exists()
    run(served)
    assert len(server.answered) == 40
    assert sum(server.answered.values()) <= 40 + 2, "what was in flight at the kill, and no more"
    root = artifacts.open("data/completions/base").root
    asked = len(server.asked)
    run(served)
    assert artifacts.open("data/completions/base").root == root and len(server.asked) == asked, "all of it is journaled"


def test_another_tuned_model_under_the_same_name_is_asked_anew(served: Workspace, server: endpoint.StandIn) -> None:
    make_tuned("first")
    run(served, "sample@tuned")
    assert {body["model"] for body in server.bodies} == {"small-tuned"} and len(server.answered) == 10
    assert artifacts.open("data/completions/tuned").inputs[0]["root"] == artifacts.open("models/tuned").root
    make_tuned("second")
    run(served, "sample@tuned")
    assert len(server.answered) == 20


def test_an_answer_that_never_comes_stops_it_or_counts_as_empty(served: Workspace, server: endpoint.StandIn) -> None:
    server.faults = lambda number: "context" if number == 3 else None
    served.set("sample.endpoint.concurrency", 1)
    done = served.run("sample@base")
    assert done.returncode == 3 and "1 of 10 rows are dead letters" in done.stderr, done.stderr
    dead = json.loads(Path("data/completions/base/dead_letters.jsonl").read_text())
    assert "maximum context length" in dead["reason"]
    server.faults = lambda number: "context"
    served.set("sample.endpoint.max_dead_share", 0.1)
    rows = run(served)
    assert [row["completion"] == "" for row in rows].count(True) == 1 and not rows[3]["finished"]
    assert json.loads(Path("metrics/sample-base.json").read_text())["dead_letters"] == 1


def test_a_reasoning_model_is_asked_as_it_wants(served: Workspace, server: endpoint.StandIn) -> None:
    """The first refusal of a field names the key to change; then nothing is sent that the model refuses."""
    server.unsupported = ("temperature", "top_p", "seed")
    server.reply = lambda body: "    return 1"
    served.set("sample.prompt", "chat")
    for key in ("sample.temperature", "sample.top_p", "sample.endpoint.seed"):
        done = served.run("sample@base")
        section, _, name = key.rpartition(".")
        assert done.returncode == 3 and f"set `{name}: null` under {section}, so" in done.stderr, done.stderr
        served.set(key, None)
    served.set("sample.endpoint.reasoning_effort", "low")
    served.set("sample.endpoint.extra", {"verbosity": "low"})
    refused = len(server.bodies)
    assert len(run(served)) == 10
    for body in server.bodies[refused:]:
        assert not {"temperature", "top_p", "seed"} & body.keys()
        assert (body["reasoning_effort"], body["verbosity"]) == ("low", "low")
    made = artifacts.open("data/completions/base").params
    assert made["temperature"] is None and made["endpoint"]["reasoning_effort"] == "low"


@pytest.mark.parametrize("key", ["temperature", "top_p"])
def test_only_an_endpoint_has_sampling_of_its_own(served: Workspace, key: str) -> None:
    served.set("sample.engine", "transformers")
    served.set(f"sample.{key}", None)
    done = served.run("sample@base")
    assert done.returncode == 3 and f"sample.{key}: null leaves it to an endpoint" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sample.endpoint.base_url", "", "sample.engine is endpoint, but sample.endpoint.base_url is empty"),
        ("sample.endpoint.base", "", "sample.endpoint.base is empty"),
        ("sample.endpoint.free", False, "has no price for small"),
        ("sample.endpoint.api_key_env", "NO_SUCH_KEY", "NO_SUCH_KEY, which is not set"),
        ("sample.endpoint.url", "x", "sample.endpoint.url: unknown key"),
        ("sample.endpoint.extra", {"n": 2}, "n would change the form of an answer"),
        ("sample.endpoint.extra", {"top_p": 0.5}, "top_p has a key of its own; set sample.top_p"),
        ("sample.endpoint.extra", {"seed": 1}, "seed has a key of its own; set sample.endpoint.seed"),
        ("sample.engine", "tgi", "sample.engine: Input should be 'transformers', 'vllm' or 'endpoint'"),
    ],
)
def test_bad_input(served: Workspace, server: endpoint.StandIn, key: str, value: object, message: str) -> None:
    if key.endswith("url") and value == "x":
        served.set("sample.endpoint", {"url": "x"})
    else:
        served.set(key, value)
    done = served.run("sample@base")
    assert done.returncode == 3 and message in done.stderr, done.stderr
    assert not server.asked


@pytest.mark.slow
@pytest.mark.torch
def test_the_embedded_server_goes_on_from_a_prompt_and_answers_a_message(workspace: Workspace) -> None:
    prepare(workspace, base_url="embedded", base=SMOLLM2, concurrency=1, context=1024)
    workspace.set("sample.problems", 2)
    rows = run(workspace)
    assert all(row["completion"].strip() and 0 < row["tokens"] <= 16 for row in rows)
    assert all(row["completion"].startswith("\n") for row in rows), "it goes on where the head ends"
    for key, value in {"prompt": "chat", "samples": 2, "temperature": 1.5, "problems": 1, "max_new_tokens": 32}.items():
        workspace.set(f"sample.{key}", value)
    drawn = run(workspace)
    assert len({row["completion"] for row in drawn}) == 2
    assert all(row["completion"].strip() for row in drawn)


@pytest.mark.torch
def test_vllm_is_refused_where_it_is_not_installed(workspace: Workspace, tiny: Path) -> None:
    if find_spec("vllm"):
        pytest.skip("vllm is installed")
    workspace.set("sample.engine", "vllm")
    workspace.set("sample.model", f"path:{tiny}")
    done = workspace.run("sample@base")
    assert done.returncode == 3 and "sample.engine is vllm, but vllm is not installed" in done.stderr


@pytest.mark.torch
def test_vllm_wants_a_whole_tuned_model(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has only an adapter.*set train.merge: true"):
        causal.whole_tuned(tmp_path)


@pytest.mark.slow
@pytest.mark.torch
def test_vllm_writes_what_transformers_writes() -> None:
    pytest.importorskip("vllm", reason="vllm is not installed")
    model, tokenizer = causal.load_causal(SMOLLM2)  # vLLM knows no model as narrow as the tiny one
    requests = [decoding.Request("a", "def f(x):"), decoding.Request("b", "class A:\n    pass")]
    settings = decoding.Settings(8, 0.0, 1.0, 0)
    found = offline.load(SMOLLM2, tokenizer, "float32")(requests, settings)
    assert found == decoding.answer(model, tokenizer, requests, settings)
