"""Rows with tests as tasks for reinforcement learning: the reward, TRL's trainer on it, Harbor's folders."""

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from instances import row

import tidemill
from commands import __main__ as commands
from stages.lib import artifacts, dataset, records, sandbox

ADD = ["assert candidate(1, 2) == 3", "assert candidate(-1, 5) == 4", "assert candidate(0, 7) == 7"]
CODE = "def add(a, b):\n    return a {} b"


@pytest.fixture(scope="module")
def reward() -> Iterator[tidemill.Reward]:
    found = tidemill.Reward()
    yield found
    found.close()


def told(reward: tidemill.Reward, *completions: Any, language: str = "Python", tests: list[str] = ADD) -> list[str]:
    """The verdicts, having looked that the rewards say the same."""
    said: dict[str, list[str]] = {}
    count = len(completions)
    given = {"tests": [tests] * count, "language": [language] * count, "entry_point": ["add"] * count}
    values = reward(
        prompts=[""] * count, completions=completions, completion_ids=[], log_extra=said.__setitem__, **given
    )
    assert values == [float(verdict == "passed") for verdict in said["verdict"]]
    return said["verdict"]


def test_a_completion_is_rewarded_if_its_program_passes_the_tests(reward: tidemill.Reward) -> None:
    good = CODE.format("+")
    fenced = f"Here:\n```python\n{good}\n```\nDone."
    verdicts = told(reward, good, CODE.format("-"), fenced, "I cannot.", "```python\nx = (\n```")
    assert verdicts == ["passed", "wrong answer", "passed", "no function", "no function"]
    helped = f"```\nimport math\n```\nThen:\n```python\ndef twice(x):\n    return 2 * x\n\n{good}\n```"
    turns = [{"role": "assistant", "content": helped}]
    assert told(reward, turns, good.replace("add", "total")) == ["passed", "passed"]
    forger = "import os\ndef add(a, b):\n    os._exit(0)"
    equal = "class E:\n    def __eq__(self, other): return True\ndef add(a, b):\n    return E()"
    verdicts = told(reward, forger, equal, "def add(a, b):\n    while True: pass", good)
    assert verdicts[-1] == "passed" and "passed" not in verdicts[:-1]


def test_the_walls_stay_up_between_batches_and_a_group_is_run_once(
    reward: tidemill.Reward, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(reward, CODE.format("+"))
    run, batches = reward._run, []
    assert run is not None
    monkeypatch.setattr(reward, "_run", lambda programs: (batches.append(list(programs)), run(batches[-1]))[1])
    assert told(reward, *[CODE.format(sign) for sign in "+-++"]) == ["passed", "wrong answer", "passed", "passed"]
    assert [len(one) for one in batches] == [2]


def test_what_cannot_be_run_is_refused(reward: tidemill.Reward, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(tidemill.BadInput, match="language 'COBOL': tests can be run in Python, JavaScript"):
        told(reward, "x", language="COBOL")
    monkeypatch.setattr(sandbox, "missing", lambda language: f"no compiler of {language}")
    with pytest.raises(
        tidemill.BadInput, match="language 'Go': no compiler of go; install it, or leave these rows out"
    ):
        told(tidemill.Reward(), "x", language="Go")


@pytest.mark.toolchain
def test_a_program_whose_types_leave_tests_out_gets_nothing(reward: tidemill.Reward) -> None:
    good = "func add(a int, b int) int {\n\treturn a + b\n}"
    other = "func add(a string, b string) string {\n\treturn a\n}"
    assert told(reward, good, other, language="Go") == ["passed", "other types"]


def learned(number: int, sign: str = "+") -> dict[str, Any]:
    asked = {"instruction": f"Write add, please, {number}.", "input": "", "output": CODE.format(sign), "tests": ADD}
    return {**row(1), "id": artifacts.digest([number, sign]), "language": "Python", **asked}


@pytest.fixture
def tasks(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose dataset has two rows with tests among four."""
    monkeypatch.chdir(home)
    rows = [learned(0), row(0), learned(1), row(2)]
    with artifacts.create("data/dataset", stage="assemble", inputs=[artifacts.open("data/corpus")]) as out:
        dataset.write_splits(out, {"train": rows[:2], "validation": rows[2:]}, records.INSTANCE)
    return home


def small_words(texts: list[str]) -> Any:
    """A tokenizer of 300 tokens, trained on `texts`, with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=300, special_tokens=["<end>"], initial_alphabet=alphabet)
    )
    words = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", pad_token="<end>")
    words.chat_template = (
        "{% for m in messages %}{{ m.content + ('<end>' if m.role == 'assistant' else '\n') }}{% endfor %}"
    )
    return words


@pytest.mark.torch
@pytest.mark.slow
def test_grpo_raises_the_reward_of_a_toy_task(tasks: Path, tmp_path: Path) -> None:
    """A tiny model writes one of four operators, each as likely; TRL's trainer teaches it the right one."""
    import torch
    from datasets import load_dataset
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    from stages.lib.training import examples

    rows = [learned(number, sign) for number in (0, 1) for sign in ("+", "-", "*", "//")]
    words = small_words([f"{one['instruction']}\n{one['output']}" for one in rows])
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            bos_token_id=None, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
        )
    )  # fmt: skip
    shown = [examples.encode(one, words, "chat") for one in rows]
    width = max(len(one.input_ids) for one in shown)
    ids = torch.tensor([one.input_ids + [0] * (width - len(one.input_ids)) for one in shown])
    labels = torch.tensor([one.labels + [-100] * (width - len(one.labels)) for one in shown])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        loss = model(ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert tidemill.open("data/dataset").export("tasks.jsonl", "reward") == 2
    settings = GRPOConfig(
        output_dir=str(tmp_path / "out"), use_cpu=True, report_to="none", logging_steps=1, max_steps=12, seed=0,
        per_device_train_batch_size=32, num_generations=16, max_completion_length=width, learning_rate=3e-3,
        save_strategy="no", disable_tqdm=True, bf16=False, lr_scheduler_type="constant",
    )  # fmt: skip
    reward = tidemill.Reward()
    trainer = GRPOTrainer(
        model, reward_funcs=reward, args=settings, processing_class=words,
        train_dataset=load_dataset("json", data_files="tasks.jsonl", split="train", cache_dir=str(tmp_path / "cache")),
    )  # fmt: skip
    trainer.train()
    reward.close()
    rewards = [entry["rewards/tests_passed/mean"] for entry in trainer.state.log_history if "reward" in entry]
    print("loss before:", round(loss.item(), 2), "mean reward of each step:", [round(one, 2) for one in rewards])
    assert len(rewards) == 12 and sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.3


def test_tasks_for_rl_are_the_rows_with_tests(tasks: Path) -> None:
    assert commands.main(["export", "--format", "reward", "tasks.jsonl"]) == 0
    one, other = map(json.loads, Path("tasks.jsonl").read_text().splitlines())
    assert one["prompt"] == [{"role": "user", "content": "Write add, please, 0."}]
    assert (one["tests"], one["language"], one["entry_point"]) == (ADD, "Python", "add")
    assert (one["split"], other["split"]) == ("train", "validation") and one["meta"]["id"] == learned(0)["id"]
    parts = tidemill.open("data/dataset").to_datasets("reward")
    assert {name: len(part) for name, part in parts.items()} == {"train": 1, "validation": 1}


def write(rows: list[dict[str, Any]]) -> None:
    with artifacts.create("data/dataset", stage="assemble") as out:
        dataset.write_splits(out, {"train": rows}, records.INSTANCE)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tests": []}, "no row has tests; set generate.tests.languages"),
        ({"language": "PHP"}, "has tests in PHP, but they can be run in Python"),
        ({"tests": ["import os"]}, "the test 'import os' may not be run: it is not one assert"),
        ({"output": "x = 1"}, "its output has no function that its tests could call"),
    ],
)
def test_rows_of_which_no_task_can_be_made(
    tasks: Path, changed: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write([{**learned(0), **changed}])
    for form in ("reward", "harbor"):
        assert commands.main(["export", "--format", form, "out"]) == 3
        assert message in capsys.readouterr().err and not Path("out").exists()


def solve(task: Path, place: Path, code: str) -> str:
    """The reward that test.sh writes for `code`."""
    place.mkdir()
    (place / "solution.py").write_text(code)
    done = subprocess.run(
        ["bash", task / "tests/test.sh"], cwd=place, env={**os.environ, "LOGS": str(place / "logs")}, timeout=60,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return (place / "logs/reward.txt").read_text().strip()


def test_harbor_tasks_reward_what_passes_the_tests(
    tasks: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert commands.main(["export", "--format", "harbor", "tasks"]) == 0
    assert "tasks: 2 rows in the form harbor" in capsys.readouterr().out
    task = Path("tasks", learned(0)["id"][:16]).resolve()
    settings = tomllib.loads((task / "task.toml").read_text())
    assert settings["task"]["name"] == f"tidemill/{task.name}" and settings["metadata"]["entry_point"] == "add"
    assert settings["verifier"]["environment_mode"] == "separate" and settings["artifacts"] == ["/app/solution.py"]
    assert (task / "instruction.md").read_text().startswith("Write add, please, 0.\n\nWrite your answer")
    reference = (task / "solution/solution.py").read_text()
    shown = (task / "instruction.md").read_text() + (task / "environment/Dockerfile").read_text()
    assert "candidate(" not in shown
    tries = {
        "1": reference,
        "0": CODE.format("-"),
        "0 ": "def add(a, b:",
        "0  ": "import sys\ndef add(a, b):\n    sys.exit(0)",
        "0   ": "import os, signal\ndef add(a, b):\n    os.kill(os.getppid(), signal.SIGTERM)\n    return 1",
        "0    ": "class E:\n    def __eq__(self, other): return True\ndef add(a, b):\n    return E()",
    }
    for number, (wanted, code) in enumerate(tries.items()):
        assert solve(task, tmp_path / f"try-{number}", code) == wanted.strip(), code
    assert commands.main(["export", "--format", "harbor", "tasks"]) == 3
    assert "tasks exists; name another folder" in capsys.readouterr().err


def test_tasks_in_other_languages_are_left_to_the_reward(
    tasks: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write([{**learned(0), "language": "Go", "output": "func add(a int, b int) int {\n\treturn a + b\n}"}])
    assert commands.main(["export", "--format", "harbor", "out"]) == 3
    assert "no task is in Python" in capsys.readouterr().err
    assert commands.main(["export", "--format", "reward", "out.jsonl"]) == 0
