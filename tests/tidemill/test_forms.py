"""`make export`: files that other tools read as they stand."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from instances import row as dataset_row
from workspace import REPOSITORY

import tidemill

NAMES = {"messages": "messages", "sharegpt": "conversations", "prompt-completion": "prompt"}


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "commands", "export", *words],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def load(file: Path) -> Any:
    """As a stranger would: by `datasets`, with a cache of its own."""
    from datasets import load_dataset

    return load_dataset("json", data_files=str(file), split="train", cache_dir=str(file.parent / "cache"))


@pytest.mark.parametrize("form", list(NAMES))
def test_every_row_arrives_in_every_form(form: str, home: Path) -> None:
    ran = run(home, "--format", form, "rows.jsonl")
    assert ran.returncode == 0 and ran.stdout == f"rows.jsonl: 10 rows in the form {form}\n", ran.stderr
    rows = load(home / "rows.jsonl")
    assert rows["split"][:] == ["train"] * 8 + ["validation"] * 2
    for number, row in enumerate(rows):
        made = dataset_row(number)
        turns = row[NAMES[form]] + row.get("completion", [])
        said = [turn.get("content") or turn["value"] for turn in turns]
        asked = made["instruction"] if number % 3 else f"{made['instruction']}\n\n{made['input']}"
        assert said == [asked, made["output"]]
        speakers = ["human", "gpt"] if form == "sharegpt" else ["user", "assistant"]
        assert [turn.get("role") or turn["from"] for turn in turns] == speakers
        assert row["meta"]["id"] == made["id"] and row["meta"]["license"] == "MIT" and "output" not in row["meta"]


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("form", ["sharegpt", "prompt-completion"])
def test_trl_trains_on_a_file_as_it_stands(form: str, home: Path, tiny: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    file = home / "rows.jsonl"
    tidemill.open(home / "data/dataset").export(file, form)  # type: ignore[arg-type]
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    settings = SFTConfig(
        output_dir=str(home / "out"), max_steps=1, per_device_train_batch_size=2, report_to="none", use_cpu=True
    )
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(tiny), settings, train_dataset=load(file), processing_class=tokenizer
    )
    batch = next(iter(trainer.get_train_dataloader()))
    learned = tokenizer.decode([label for label in batch["labels"][0].tolist() if label >= 0])
    assert "return total" in learned
    assert ("Write a function" in learned) == (form == "sharegpt"), "the loss of a completion is over the answer alone"
    trainer.train()


def test_what_cannot_be_written_is_said_and_nothing_is_lost(home: Path) -> None:
    (home / "rows.jsonl").write_text("mine")
    ran = run(home, "--data", "data/nothing", "rows.jsonl")
    assert ran.returncode == 3 and "data/nothing is missing" in ran.stderr
    ran = run(home, "nowhere/rows.jsonl")
    assert ran.returncode == 3 and "there is no folder nowhere; create it first" in ran.stderr
    assert (home / "rows.jsonl").read_text() == "mine"
    with pytest.raises(tidemill.BadInput, match="there is no form 'alpaca'; choose one of messages, sharegpt"):
        tidemill.open(home / "data/dataset").export("rows.jsonl", "alpaca")  # type: ignore[arg-type]


def test_lines_are_json_and_keep_every_sign(home: Path) -> None:
    run(home, "rows.jsonl")
    lines = (home / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert "–" in lines[0] and all(json.loads(line)["meta"]["round"] == 1 for line in lines)
