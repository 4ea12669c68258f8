"""sample on a tiny Llama: HumanEval's own prompts, real generation, real kills."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sampling import run
from workspace import Workspace

from stages import sample
from stages.lib import artifacts
from stages.lib.benchmarks import suites
from stages.lib.models import causal, decoding


@pytest.fixture
def small(workspace: Workspace, tiny: Path) -> Workspace:
    """A workspace in which the tiny model answers ten problems in four batches."""
    for key, value in {
        "model": f"path:{tiny}",
        "problems": 10,
        "max_new_tokens": 12,
        "batch_rows": 3,
        "threads": 1,
        "device": "cpu",
    }.items():
        workspace.set(f"sample.{key}", value)
    return workspace


@pytest.mark.torch
def test_batched_answers_are_those_of_the_model_asked_alone(small: Workspace, tiny: Path) -> None:
    import torch

    rows = run(small)
    model, tokenizer = causal.load_causal(f"path:{tiny}")
    assert [row["task_id"] for row in rows] == [f"HumanEval/{number}" for number in range(10)]
    for row in rows:
        ids = tokenizer(row["prompt"], return_tensors="pt")
        with torch.inference_mode():
            written = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
        assert tokenizer.decode(written, skip_special_tokens=True).startswith(row["completion"])
        assert row["tokens"] == 12 or row["finished"]
    metrics = json.loads(Path("metrics/sample-base.json").read_text())
    assert metrics["completions"] == 10 and metrics["truncated"] == sum(not row["finished"] for row in rows)
    assert metrics["completion_tokens"] == sum(row["tokens"] for row in rows)
    assert "10 of 164" in str(metrics["slice"])


@pytest.mark.torch
@pytest.mark.slow
def test_the_prompt_is_the_problems_own(small: Workspace) -> None:
    small.set("sample.prompt", "alpaca")
    rows = run(small)
    problem = suites.load("humaneval").problems["HumanEval/0"]
    assert problem.prompt.strip() in rows[0]["prompt"]
    assert rows[0]["prompt"].startswith("Below is an instruction") and rows[0]["prompt"].endswith("### Response:\n")


@pytest.mark.torch
@pytest.mark.slow
def test_draws_follow_the_problem_and_the_seed_not_the_company(small: Workspace) -> None:
    small.set("sample.samples", 3)
    small.set("sample.temperature", 0.9)
    rows = run(small)
    assert [(row["task_id"], row["sample"]) for row in rows[:4]] == [
        ("HumanEval/0", 0),
        ("HumanEval/0", 1),
        ("HumanEval/0", 2),
        ("HumanEval/1", 0),
    ]
    assert len({row["completion"] for row in rows[:3]}) > 1
    small.set("sample.batch_rows", 7)
    assert [row["completion"] for row in run(small)] == [row["completion"] for row in rows]
    small.set("sample.seed", 1)
    assert [row["completion"] for row in run(small)] != [row["completion"] for row in rows]


@pytest.mark.torch
@pytest.mark.slow
def test_a_model_of_16_bits_answers_in_16_bits(small: Workspace) -> None:
    small.set("sample.precision", "bfloat16")
    model, _ = sample.load(sample.read_params(), [])
    assert str(model.dtype) == "torch.bfloat16"
    assert len(run(small)) == 10
    assert artifacts.open("data/completions/base").params["precision"] == "bfloat16"


@pytest.mark.torch
def test_an_answer_ends_with_the_first_match_of_a_stop_pattern(tiny: Path) -> None:
    model, tokenizer = causal.load_causal(f"path:{tiny}")
    requests = [decoding.Request("a", "def f(x):"), decoding.Request("b", "class A:\n    pass")]
    free = decoding.answer(model, tokenizer, requests, decoding.Settings(16, 0.0, 1.0, 0))
    assert all(not answer.finished and answer.tokens == 16 for answer in free)
    settings = decoding.Settings(16, 0.0, 1.0, 0, stop=(r"\w",))
    for stopped, whole in zip(decoding.answer(model, tokenizer, requests, settings), free, strict=True):
        assert stopped.finished and stopped.tokens < 16
        assert whole.text.startswith(stopped.text)
        assert any(letter.isalnum() or letter == "_" for letter in stopped.text)


@pytest.mark.torch
def test_finished_answers_leave_the_batch_and_change_no_other(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = causal.load_causal(f"path:{tiny}")
    requests = [decoding.Request(str(number), f"def f{number}(x):" + " x" * number) for number in range(8)]
    settings = decoding.Settings(24, 1.0, 0.9, 0, stop=(r"[xyz]",))
    together = decoding.answer(model, tokenizer, requests, settings)
    lengths = {answer.tokens for answer in together}
    assert len(lengths) > 2, "some are finished before others"
    rows = []
    forward = model.forward
    monkeypatch.setattr(decoding, "LOOK", 2)
    monkeypatch.setattr(model, "forward", lambda *a, **k: rows.append(len(k["input_ids"])) or forward(*a, **k))
    assert decoding.answer(model, tokenizer, requests, settings) == together
    assert rows[0] == 8 and rows[-1] < 8 and rows == sorted(rows, reverse=True)


@pytest.mark.torch
@pytest.mark.slow
def test_killed_and_stopped_it_goes_on_to_the_same_bytes(small: Workspace) -> None:
    small.set("sample.batch_rows", 1)
    run(small)
    undisturbed = artifacts.open("data/completions/base").root
    assert small.stop("sample@base", "answered batch 1 of 10", signal.SIGKILL) == -signal.SIGKILL
    assert small.stop("sample@base", "answered batch 4 of 10", signal.SIGTERM) == 75
    done = small.run("sample@base")
    assert done.returncode == 0, done.stderr
    assert "answered batch 1 of" not in done.stderr and "answered batch 10 of 10" in done.stderr
    assert artifacts.open("data/completions/base").root == undisturbed


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_tuned_model_is_asked_the_same(small: Workspace, tiny: Path, method: str) -> None:
    from tuning import row, write_dataset

    write_dataset([row(number) for number in range(8)], [])
    for key, value in {"model": f"path:{tiny}", "method": method, "learning_rate": 1e-2, "device": "cpu"}.items():
        small.set(f"train.{key}", value)
    trained = small.run("train")
    assert trained.returncode == 0, trained.stderr
    base, tuned = run(small), run(small, "sample@tuned")
    assert [row["prompt"] for row in base] == [row["prompt"] for row in tuned]
    assert [row["completion"] for row in base] != [row["completion"] for row in tuned]
    assert str(causal.load_tuned(Path("models/tuned"), "bfloat16")[0].dtype) == "torch.bfloat16"
    if method == "lora":
        small.set("sample.tuned_prompt", "alpaca")
        assert all(row["prompt"].startswith("Below is an instruction") for row in run(small, "sample@tuned"))
        assert run(small) == base


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "key", "value", "message"),
    [
        ("sample@other", "seed", 0, "use sample@base, sample@tuned or sample@evolved-ROUND"),
        ("sample@base", "samples", 2, "at sample.temperature 0 all samples of a problem are identical"),
        ("sample@base", "problems", 0, "sample.problems: Input should be greater than or equal to 1"),
        ("sample@base", "problems", 165, "164"),
        ("sample@base", "benchmark", "humanevil", "humaneval"),
        ("sample@base", "model", "path:nowhere", "nowhere does not exist"),
        ("sample@tuned", "seed", 0, "models/tuned"),
    ],
)
def test_bad_input(small: Workspace, stage: str, key: str, value: object, message: str) -> None:
    small.set(f"sample.{key}", value)
    done = small.run(stage)
    assert done.returncode == 3 and message in done.stderr, done.stderr
    assert not Path("data/completions").exists()


@pytest.mark.torch
@pytest.mark.slow
def test_explain_writes_from_what_the_model_itself_said(small: Workspace, shared_data: Callable[[str], Path]) -> None:
    small.set("sample.benchmark", "humanevalexplain-go")
    small.set("sample.data", str(shared_data("humanevalpack").parent))
    small.set("sample.problems", 2)
    rows = run(small)
    problem = suites.load("humanevalexplain-go", shared_data("humanevalpack").parent).problems["Go/0"]
    said, _, rest = rows[0]["prompt"].partition("Write functional code in Go")
    assert rest.endswith(problem.declaration.rstrip()) and problem.canonical_solution.strip() not in rest
    assert said.strip() and len(said.strip()) <= len(problem.docstring)
