"""The parts of training: packing, the plan, what is shown of a row, other rows, what it leaves for other programs."""

import json
import random
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tiny import SMOLLM2, tokenizer
from tuning import row, run, small, write_dataset
from workspace import REPOSITORY, Workspace

from commands import __main__ as commands
from commands.plan import training as training_plan
from stages.lib import artifacts
from stages.lib.dataset import material
from stages.lib.dataset import rows as dataset_rows
from stages.lib.errors import BadInput
from stages.lib.models import causal, location, prompts
from stages.lib.training import attention, examples, flops, output, packing, requirements, trainer, watch
from stages.lib.training.requirements import Run

pytestmark = pytest.mark.torch

__all__ = ["small"]  # a fixture

WAYS = Run(
    method="full", rank=8, targets="all-linear", micro_batch_rows=1, tokens=1024, precision="bfloat16",
    activation_checkpointing=True, sharding="none", device="cuda", devices=1,
)  # fmt: skip


def llama(**changed: Any) -> Any:
    from transformers import LlamaConfig

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaConfig(**{"vocab_size": len(tokenizer()), **shape, "initializer_range": 0.3, **changed})


def bigcode(**changed: Any) -> Any:
    """StarCoder's architecture: learned positions, one key and value for all heads."""
    from transformers import GPTBigCodeConfig

    shape = {"n_embd": 32, "n_inner": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024, "initializer_range": 0.3}
    return GPTBigCodeConfig(
        **{"vocab_size": len(tokenizer()), "bos_token_id": 0, "eos_token_id": 2, **shape, **changed}
    )


def made(config: Any) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config)


def encoded(count: int) -> list[examples.Example]:
    return [examples.encode(row(number), tokenizer()) for number in range(count)]


@pytest.mark.parametrize("config", [llama(), bigcode()], ids=["Llama", "GPTBigCode"])
def test_a_packed_row_has_the_logits_of_the_row_alone(config: Any) -> None:
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    model = made(config).eval()
    rows = encoded(5)
    packed = packing.best_fit(rows, 2 * max(len(one.input_ids) for one in rows))
    assert any(len(sequence) > 1 for sequence in packed)
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    with torch.inference_mode():
        alone = {one.id: model(torch.tensor([one.input_ids])).logits[0] for one in rows}
    packing.keep_apart(model, rows)
    assert model.config._attn_implementation == attention.NAME
    for sequence in packed:
        batch = collate([packing.columns(sequence)])
        batch.pop("labels")
        with torch.inference_mode():
            together = model(**batch, use_cache=False).logits[0]
        assert torch.allclose(together, torch.cat([alone[one.id] for one in sequence]), atol=1e-4)


def test_a_model_that_looks_back_so_far_only_keeps_its_own_attention() -> None:
    from transformers import MistralConfig

    model = made(MistralConfig(**llama().to_diff_dict() | {"model_type": "mistral", "sliding_window": 16}))
    packing.keep_apart(model, encoded(3))
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize(
    "config", [llama(), bigcode(attn_pdrop=0, embd_pdrop=0, resid_pdrop=0)], ids=["Llama", "GPTBigCode"]
)
def test_the_loss_on_a_cpu_is_trl_s_own(tmp_path: Path, config: Any, packed: bool) -> None:
    import torch
    from trl import SFTTrainer

    settings = trainer.Settings(
        lora=None, epochs=1, batch_rows=4, micro_batch_rows=4, packed=packed, learning_rate=1e-3, schedule="constant",
        warmup_share=0.0, weight_decay=0.0, max_grad_norm=1.0, precision="float32", activation_checkpointing=False,
        sharding="none", seed=0, save_steps=9, device="cpu", board=None,
    )  # fmt: skip
    order = [[one] for one in encoded(4)]
    guard = trainer.Guard(order, settings, watch.Watch(watch.Speed(1.0, 1.0), None))
    ours = trainer.make(made(config).train(), tokenizer(), order, [], settings, tmp_path, guard)
    (batch,) = ours.get_train_dataloader()
    found = []
    for labels in (batch["labels"], torch.full_like(batch["labels"], examples.IGNORED)):
        for compute in (type(ours).compute_loss, SFTTrainer.compute_loss):
            for count in (None, torch.tensor(7)):
                ours.model.zero_grad()
                loss = compute(ours, ours.model, {**batch, "labels": labels}, num_items_in_batch=count)
                loss.backward()
                found.append([loss.detach(), *(weights.grad.clone() for weights in ours.model.parameters())])
    for one, two in ((0, 2), (1, 3), (4, 6), (5, 7)):
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found[one], found[two], strict=True))
    assert found[0][0] > 1 and found[4][0] == 0


@pytest.mark.slow
def test_bfloat16_on_a_cpu_is_training_s_alone(tmp_path: Path) -> None:
    """A young adapter changes less than bfloat16 can tell, so what is measured is measured in float32."""
    losses = {}
    for precision in ("float32", "bfloat16"):
        settings = trainer.Settings(
            lora=None, epochs=1, batch_rows=4, micro_batch_rows=4, packed=False, learning_rate=1e-3,
            schedule="constant", warmup_share=0.0, weight_decay=0.0, max_grad_norm=1.0, precision=precision,
            activation_checkpointing=False, sharding="none", seed=0, save_steps=9, device="cpu", board=None,
        )  # fmt: skip
        order = [[one] for one in encoded(4)]
        guard = trainer.Guard(order, settings, watch.Watch(watch.Speed(1.0, 1.0), None))
        made_one = trainer.make(made(llama()).train(), tokenizer(), order, [], settings, tmp_path, guard)
        (batch,) = made_one.get_train_dataloader()
        training = float(made_one.compute_loss(made_one.model, batch))
        losses[precision] = training, float(made_one.compute_loss(made_one.model.eval(), batch))
    single, half = losses["float32"], losses["bfloat16"]
    assert half[1] == single[1] and half[0] != single[0] and half[0] == pytest.approx(single[0], rel=0.01)


def test_a_model_whose_rows_see_one_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions that go on from row to row are what a model sees whose attention does not start anew with them."""
    from transformers import LlamaForCausalLM

    forward = LlamaForCausalLM.forward
    monkeypatch.setattr(
        LlamaForCausalLM, "forward", lambda self, input_ids=None, **_: forward(self, input_ids=input_ids)
    )
    with pytest.raises(BadInput, match="packed rows see each other in this model"):
        packing.keep_apart(made(llama()), encoded(2))


def test_packs_hold_every_row_once_in_each_epoch_and_none_is_cut() -> None:
    rows = [examples.Example(str(n), [1] * random.Random(n).randint(2, 60), []) for n in range(40)]
    order = packing.in_order(rows, 2, seed=3, packed_tokens=64)
    assert sorted(int(one.id) for sequence in order for one in sequence) == sorted([*range(40), *range(40)])
    assert all(sum(len(one.input_ids) for one in sequence) <= 64 for sequence in order)
    assert len(order) < 60 and order == packing.in_order(rows, 2, 3, 64) != packing.in_order(rows, 2, 4, 64)


@pytest.mark.slow
def test_packed_training_has_the_losses_of_padded_training(small: Workspace) -> None:
    small.set("train.lora.dropout", 0.0)
    losses = {}
    for packing_way in ("none", "padding_free"):
        small.set("train.packing", packing_way)
        run(small)
        lines = Path("models/tuned/log.jsonl").read_text().splitlines()
        losses[packing_way] = [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]
    assert losses["padding_free"] == pytest.approx(losses["none"], abs=1e-4)
    small.set("train.packing", "best_fit")
    run(small)
    assert json.loads(Path("metrics/train.json").read_text())["steps"] < len(losses["none"])


def test_a_filled_step_has_no_label_more() -> None:
    order = [[one] for one in encoded(5)]
    filled = packing.filled(order, 4, tokenizer().eos_token_id)
    assert len(filled) == 8 and filled[:5] == order
    assert all(set(one.labels) == {examples.IGNORED} for sequence in filled[5:] for one in sequence)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize(
    "config", [llama(), bigcode(attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0)], ids=["Llama", "GPTBigCode"]
)
def test_the_plan_counts_what_a_real_pass_keeps(config: Any, method: str) -> None:
    """Weights and trained parameters exactly; activations against those of a real forward pass in float32."""
    import torch

    ways = Run(
        **{
            **vars(WAYS),
            "method": method,
            "tokens": 96,
            "micro_batch_rows": 2,
            "precision": "float32",
            "activation_checkpointing": False,
            "device": "cpu",
        }
    )
    needed = requirements.estimate(config, ways)
    model = made(config)
    assert needed.parameters == sum(weights.numel() for weights in model.parameters())
    if method == "lora":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=8, target_modules="all-linear"))
    trained = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
    assert needed.trainable == trained and needed.optimizer == 8 * trained and needed.gradients == 4 * trained
    weights = {one.untyped_storage().data_ptr() for one in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    backbone = (model.get_base_model() if method == "lora" else model).base_model
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        backbone(input_ids=torch.zeros((2, 96), dtype=torch.long), use_cache=False)
    real = sum(one.untyped_storage().nbytes() for one in kept.values())
    logits = 3 * 4 * 2 * 96 * config.vocab_size  # on a CPU: in float32, their logarithms, their gradient
    assert needed.activations - logits == pytest.approx(real, rel=0.05)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 seconds"), (75, "75 seconds"), (600, "10 minutes"), (7200, "2.0 hours")]
)
def test_a_plans_time_is_in_the_unit_that_is_read_most_easily(seconds: float, said: str) -> None:
    assert training_plan.duration(seconds) == said


@pytest.mark.slow
def test_a_plan_looks_at_a_model_without_unpacking_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = causal.load_config(SMOLLM2)
    monkeypatch.setattr(causal, "UNPACKED", tmp_path / "models")
    seen = causal.look_at_config(SMOLLM2)
    assert not (tmp_path / "models").exists()
    assert requirements.estimate(seen, WAYS) == requirements.estimate(unpacked, WAYS)


def test_the_plan_of_a_7b_model_and_what_it_advises() -> None:
    config = llama(
        hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32, vocab_size=32256
    )
    alone = requirements.require(config, WAYS, 140 * requirements.GIB)
    assert alone.parameters == 6_740_512_768
    assert alone.weights + alone.gradients + alone.optimizer == 16 * alone.parameters
    shared = requirements.estimate(config, Run(**{**vars(WAYS), "sharding": "fsdp", "devices": 8}))
    assert shared.optimizer == alone.optimizer / 8
    assert requirements.estimate(config, Run(**{**vars(WAYS), "activation_checkpointing": False})).total > alone.total
    with pytest.raises(BadInput, match=r"train needs 1\d\d\.\d GiB on each of 1 .*what would fit: sharding: fsdp on 2"):
        requirements.require(config, WAYS, 80 * requirements.GIB)
    with pytest.raises(BadInput, match=r"what would fit: .*method: lora in bfloat16"):
        requirements.require(config, WAYS, 17 * requirements.GIB)
    with pytest.raises(BadInput, match="use a smaller model or more devices"):
        requirements.require(config, WAYS, 1 * requirements.GIB)


def test_half_precision_saves_a_cpu_no_memory_for_frozen_weights() -> None:
    """A GPU holds them in bfloat16; a CPU holds them whole, and keeps a step's casts besides."""
    config = llama(hidden_size=256, intermediate_size=512, vocab_size=20_000)
    ways = {"method": "lora", "activation_checkpointing": False, "tokens": 64}

    def weights(device: str, precision: str) -> float:
        run = Run(**{**vars(WAYS), **ways, "device": device, "precision": precision})
        return requirements.estimate(config, run).weights

    assert weights("cpu", "bfloat16") == weights("cpu", "float32") == weights("cuda", "float32")
    assert weights("cuda", "bfloat16") < 0.6 * weights("cuda", "float32")


def test_flops_of_a_token_by_hand() -> None:
    config = llama(tie_word_embeddings=True)
    weights = 100
    attention = 2 * 2 * 32 * 50 / 2  # layers, 2 for a product's multiply and add, width, half the row
    assert flops.per_token(config, weights, 50, lora=False) == 6 * weights + 6 * attention
    assert flops.per_token(config, weights, 50, lora=True) == 4 * weights + 6 * attention


@pytest.mark.slow
def test_training_that_cannot_fit_is_refused_before_loading(small: Workspace, tiny: Path) -> None:
    config = json.loads((tiny / "config.json").read_text())
    huge = {**config, "hidden_size": 8192, "intermediate_size": 65536, "num_hidden_layers": 200, "head_dim": 2048}
    Path("huge").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (Path("huge") / name).write_bytes((tiny / name).read_bytes())
    Path("huge/config.json").write_text(json.dumps(huge))
    small.set("train.model", "path:huge")
    done = small.run("train")
    assert done.returncode == 3 and "params.yaml: train needs" in done.stderr, done.stderr


def test_a_row_is_shown_token_by_token(workspace: Workspace, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset([row(number) for number in range(3)], [])
    workspace.set("train.model", f"path:{tiny}")
    assert commands.main(["show-example", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"row {row(1)['id']}"
    stars = [line for line in lines[1:-1] if line[6] == "*"]
    assert "".join(eval(line[16:]) for line in stars) == row(1)["output"] + tokenizer().eos_token
    assert stars == lines[-1 - len(stars) : -1]
    assert commands.main(["show-example", "9"]) == 3
    assert "0 training rows match '9'; give a number from 1 to 3" in capsys.readouterr().err


def test_of_what_a_repair_copies_a_share_is_learned_and_all_that_it_changes(
    workspace: Workspace, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = "def total(values):\n    found = 0\n    for one in values:\n        found += one\n    return found"
    wrong = right.replace("+=", "-=")
    repair = {"id": "a", "instruction": "Find and fix the bug.", "input": wrong, "output": right}
    words = tokenizer()
    every, some = (examples.encode(repair, words, copied_share=share) for share in (1.0, 0.2))
    assert some.input_ids == every.input_ids
    learned = [label for label in some.labels if label != examples.IGNORED]
    assert words.encode(" +=", add_special_tokens=False)[-1] in learned and learned[-1] == words.eos_token_id
    assert len(learned) < 0.5 * sum(label != examples.IGNORED for label in every.labels)
    assert some == examples.encode(repair, words, copied_share=0.2), "the id draws which"
    for other in (repair | {"input": ""}, repair | {"input": "Sum a list of numbers."}):
        assert examples.encode(other, words, copied_share=0.2) == examples.encode(other, words)
    with pytest.raises(BadInput, match=r"train\.copied_share: the form chat"):
        examples.encode(repair, words, "chat", 0.2)
    write_dataset([row(0), repair], [])
    workspace.set("train.model", f"path:{tiny}")
    workspace.set("train.copied_share", 0.2)
    assert commands.main(["show-example", "2"]) == 0
    assert f"loss on the {len(learned)} with a *" in capsys.readouterr().out


FORMS = {
    "alpaca.json": lambda rows: json.dumps(rows),
    "alpaca.jsonl": lambda rows: "".join(json.dumps(one) + "\n" for one in rows),
    "messages.jsonl": lambda rows: "".join(json.dumps({"messages": talk(one)}) + "\n\n" for one in rows),
}


def own_rows(count: int) -> list[dict[str, Any]]:
    """Rows without an input and without ids."""
    return [{name: row(number)[name] for name in ("instruction", "output")} for number in range(count)]


def talk(row: dict[str, Any]) -> list[dict[str, str]]:
    said = (("user", row["instruction"]), ("assistant", row["output"]))
    return [{"role": role, "content": text} for role, text in said]


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_ones_own_rows_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text(FORMS[name](own_rows(40)))
    parts = dataset_rows.read(str(file), 0.1)
    given = [{"input": "", **one} for one in own_rows(40)]
    assert [{**one, "id": artifacts.digest(one)} for one in given] == dataset_rows.read_own(file)
    assert parts["validation"] == [one for one in dataset_rows.read_own(file) if one not in parts["train"]]
    assert len(parts["train"]) + len(parts["validation"]) == 40 and parts["validation"]


def test_a_system_message_goes_before_the_instruction_of_the_paper_s_prompt(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    said = [{"role": "system", "content": "Answer in Go."}, *talk(own_rows(1)[0])]
    file.write_text(json.dumps({"messages": said}))
    (found,) = dataset_rows.read_own(file)
    assert prompts.fold(found)["instruction"] == f"Answer in Go.\n\n{row(0)['instruction']}"
    assert prompts.messages(found)[0] == {"role": "system", "content": "Answer in Go."}


def test_every_answer_of_a_conversation_is_learned_as_the_chat_template_has_it(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    said = [message for number in range(3) for message in talk(own_rows(3)[number])]
    file.write_text(json.dumps({"messages": [{"role": "system", "content": "Be brief."}, *said]}))
    (found,) = dataset_rows.read_own(file)
    words = tokenizer()
    example = examples.encode(found, words)
    words.chat_template = output.chat_template()
    said[0] = {"role": "user", "content": f"Be brief.\n\n{said[0]['content']}"}
    assert words.decode(example.input_ids) == words.apply_chat_template(said, tokenize=False)
    learned = [label for label in example.labels if label != examples.IGNORED]
    assert words.decode(learned) == "".join(own_rows(3)[number]["output"] + words.eos_token for number in range(3))
    file.write_text(json.dumps({"messages": said[:3]}))
    with pytest.raises(BadInput, match=r"the assistant last.*; cut the conversation after an answer"):
        dataset_rows.read_own(file)


@pytest.mark.slow
def test_ones_own_rows_alone_are_enough(small: Workspace) -> None:
    shutil.rmtree("data")
    Path("mine.jsonl").write_text(FORMS["alpaca.jsonl"](own_rows(40)))
    small.set("train.file", "mine.jsonl")
    small.set("train.rows", 8)
    run(small)
    held_out = len(dataset_rows.read("mine.jsonl", 0.1)["validation"])
    metrics = json.loads(Path("metrics/train.json").read_text())
    assert (metrics["rows"], metrics["steps"], metrics["validation_rows"]) == (8, 4, held_out)
    sealed = json.loads(Path("models/tuned/artifact.json").read_text())
    assert sealed["inputs"] == [] and sealed["params"]["file"] == "mine.jsonl"
    assert sealed["params"]["file_sha256"] == artifacts.hash_file(Path("mine.jsonl"))
    assert sealed["params"]["file_rows"] == {"train": 40 - held_out, "validation": held_out}
    assert "of the file mine.jsonl" in Path("models/tuned/README.md").read_text()
    assert not Path("data").exists()


def test_an_own_row_is_shown(workspace: Workspace, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.json").write_text(json.dumps(own_rows(3)))
    workspace.set("train.model", f"path:{tiny}")
    workspace.set("train.file", "mine.json")
    workspace.set("train.validation_share", 0.0)
    assert commands.main(["show-example", "2"]) == 0
    assert dataset_rows.read_own(Path("mine.json"))[1]["id"] in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "rows.jsonl does not exist"),
        ("", "has no rows"),
        ("{", "rows.jsonl line 1 is not JSON"),
        ('[{"instruction": "x"', "rows.jsonl is not valid JSON"),
        ("[3]", "rows.jsonl row 1 is no object but 3"),
        ('{"output": "x"}', "rows.jsonl line 1 has no text in 'instruction'"),
        ('{"instruction": "x", "output": "y"}\n\n{"instruction": "x"}', "rows.jsonl line 3 has no text in 'output'"),
        ('{"instruction": "x", "output": " "}', "rows.jsonl line 1 has an empty output"),
        (
            '{"messages": [{"role": "user", "content": "x"}]}',
            r"messages by \['user'\]; user and assistant must take turns",
        ),
        ('{"messages": [{"role": "user", "content": "x"}, {"role": "assistant"}]}', "has no text in 'output'"),
        ('{"messages": 3}', "messages by None"),
    ],
)
def test_own_rows_that_cannot_be_had(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "rows.jsonl"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadInput, match=message):
        dataset_rows.read(str(file), 0.1)


def test_rows_are_drawn_by_the_seed() -> None:
    rows = [row(number) for number in range(9)]
    assert material.drawn(rows, None, 0) == rows
    assert material.drawn(rows, 4, 1) == material.drawn(rows, 4, 1) != material.drawn(rows, 4, 2)
    with pytest.raises(BadInput, match=r"train\.rows: 10, but there are only 9 rows"):
        material.drawn(rows, 10, 0)


@pytest.mark.slow
def test_merged_weights_load_without_peft_and_the_adapter_by_its_own_name(small: Workspace, tiny: Path) -> None:
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, GenerationConfig, pipeline

    small.set("train.merge", True)
    small.set("train.tensorboard", True)
    run(small)
    merged = AutoModelForCausalLM.from_pretrained("models/tuned/model")
    theirs = AutoPeftModelForCausalLM.from_pretrained("models/tuned/adapter")
    ids = torch.tensor([encoded(4)[3].input_ids])
    with torch.inference_mode():
        assert torch.allclose(merged(ids).logits, theirs(ids).logits, atol=1e-3)
    assert list(Path("models/tuned/model").glob("*.safetensors"))
    for folder in ("models/tuned/model", "models/tuned/adapter"):
        assert GenerationConfig.from_pretrained(folder).eos_token_id == tokenizer().eos_token_id
    writer = pipeline("text-generation", "models/tuned/model", device="cpu")
    said = writer([{"role": "user", "content": "Add."}], max_new_tokens=3)[0]["generated_text"]
    assert said[-1]["role"] == "assistant"
    assert list(Path(".tidemill/tensorboard/train").rglob("events.*"))


@pytest.mark.slow
def test_the_licence_of_the_base_stands_in_the_card(small: Workspace, tiny: Path) -> None:
    assert output.licence(f"path:{tiny}") is None
    Path("base").mkdir()
    for file in tiny.iterdir():
        (Path("base") / file.name).write_bytes(file.read_bytes())
    Path("base/README.md").write_text("---\nlicense: bigcode-openrail-m\n---\n# A base\n")
    assert output.licence("path:base") == "bigcode-openrail-m"
    assert output.licence(SMOLLM2)
    assert output.public_name("hub:bigcode/starcoder@abc") == ("bigcode/starcoder", "abc")


@pytest.mark.slow
def test_the_gguf_file_answers_over_http_as_the_model_that_was_tuned(workspace: Workspace) -> None:
    """SmolLM2 itself with an adapter of random weights: llama.cpp's most likely tokens are transformers' own."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    base, words = causal.load_causal(SMOLLM2)
    adapted = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"))
    for name, weights in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.01)
    with artifacts.create("models/tuned", stage="train") as out:
        output.write(out, adapted, None, words, SMOLLM2, "lora")
    asked = "Write a Python function that adds two numbers."
    server = subprocess.Popen(
        [sys.executable, "-m", "commands", "serve", "--port", "0"],
        env=workspace.environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout
        address = next(line for line in server.stdout if line.startswith("serving")).split()[-1]
        body = {"model": "tuned", "messages": [{"role": "user", "content": asked}], "max_tokens": 8, "temperature": 0}
        request = urllib.request.Request(
            f"{address}/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=200) as response:
            said = json.load(response)["choices"][0]["message"]["content"]
    finally:
        server.terminate()
        server.wait(240)
    tuned, words = causal.load_tuned(Path("models/tuned"))
    prompt = words(prompts.render(asked), return_tensors="pt")
    answer = tuned.generate(**prompt, max_new_tokens=8, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert said.strip() == words.decode(answer, skip_special_tokens=True).strip() and said.strip()


@pytest.mark.slow
def test_a_gguf_file_is_unpacked_once_and_again_if_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gguf import GGUFReader
    from gguf.quants import dequantize
    from safetensors.numpy import load_file

    monkeypatch.setattr(causal, "UNPACKED", tmp_path / "models")
    folder = causal.folder(SMOLLM2)
    weights = folder / "model.safetensors"
    stored = next(one for one in GGUFReader(location.locate(SMOLLM2)).tensors if one.name == "token_embd.weight")
    assert (load_file(weights)["model.embed_tokens.weight"] == dequantize(stored.data, stored.tensor_type)).all()
    written = weights.stat().st_mtime_ns
    assert causal.folder(SMOLLM2) == folder and weights.stat().st_mtime_ns == written
    with weights.open("r+b") as file:
        file.seek(1000)
        file.write(b"changed")
    causal._unpacked.cache_clear()  # as the next process begins: one verifies the folder once
    causal.load_config(SMOLLM2)
    assert (load_file(weights)["model.embed_tokens.weight"] == dequantize(stored.data, stored.tensor_type)).all()


def test_what_gguf_cannot_do_is_said(workspace: Workspace, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from commands import __main__ as commands
    from commands import gguf

    monkeypatch.setenv("PATH", "/nowhere")
    base, words = causal.load_causal(f"path:{tiny}")
    with artifacts.create("models/tuned", stage="train") as out:
        output.write(out, base, None, words, f"path:{tiny}", "full")
    with pytest.raises(BadInput, match=r"needs llama\.cpp's convert_hf_to_gguf\.py on PATH"):
        gguf.export(Path("models/tuned"), Path("tuned.gguf"))
    assert commands.main(["gguf"]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("config", [bigcode()], ids=["GPTBigCode"])
def test_starcoder_s_architecture_is_tuned(small: Workspace, config: Any) -> None:
    made(config).save_pretrained("starcoder")
    tokenizer().save_pretrained("starcoder")
    small.set("train.model", "path:starcoder")
    small.set("train.packing", "padding_free")
    run(small)
    metrics = json.loads(Path("metrics/train.json").read_text())
    assert metrics["validation_loss_after"] < metrics["validation_loss_before"]


@pytest.mark.slow
def test_the_gpu_benchmark_runs_at_tiny_size() -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "bench/train_gpu.py"), "--tiny"], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    cases = json.loads(done.stdout)["cases"]
    assert cases.keys() == {"full", "lora", "trl_full", "trl_lora"}
    assert all(case["tokens_per_second"] > 0 and case["mfu"] > 0 for case in cases.values()), cases
