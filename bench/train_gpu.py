"""Training on a GPU: a 6.7B Llama of random weights, every weight and LoRA; writes bench/results/train_gpu.json.

    python bench/train_gpu.py [--tiny]     --tiny: two small layers on a CPU, to see that it runs; writes nothing

First the rate of a large bfloat16 matrix product is measured. Then, on the same packed rows of 1,024 tokens: ours
(this project's trainer with the paper's settings), and TRL's SFTTrainer with its defaults, which are batches of 8,
bfloat16 autocast and activation checkpointing. Each side runs in a process of its own, so that its peak memory is its
own. Reported: tokens a second, model FLOP utilisation of the measured rate (stages/lib/training/flops.py), peak
memory, and what `make plan` said it would be.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

RESULTS = ROOT / "bench/results/train_gpu.json"
SEED, WARM_STEPS = 0, 2
STEPS = {False: 6, True: 1}
SHAPES = {  # DeepseekCoder-6.7B's configuration, and one that a CPU trains at once
    False: {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    True: {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
}
WORDS = {False: 32256, True: 512}
TOKENS = {False: 1024, True: 64}
CASES = ("full", "lora", "trl_full", "trl_lora")
BATCH = {False: 32, True: 8}
MICRO = {"full": 4, "lora": 8}


def main() -> None:
    """Measure each case in a process of its own, write the result."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.tiny and not torch.cuda.is_available():
        raise SystemExit("no GPU that torch can use is here: bench/results/train_gpu.json stays owed")
    if given.case:
        print(json.dumps(measure(given.case, given.tiny)))
        return
    cases = {case: _apart(case, given.tiny) for case in CASES}
    report = {
        "machine": {
            "gpu": torch.cuda.get_device_name() if not given.tiny else None,
            "python": platform.python_version(),
        },
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda},
        "seed": SEED,
        "model": SHAPES[given.tiny],
        "row_tokens": TOKENS[given.tiny],
        "cases": cases,
        "goals": {"full_mfu": 0.50, "lora_mfu": 0.55, "peak_over_plan": "0.9 to 1.1"},
    }
    print(json.dumps(report, indent=1))
    if not given.tiny:
        RESULTS.write_text(json.dumps(report, indent=1) + "\n")


def _apart(case: str, tiny: bool) -> dict[str, Any]:
    """The case in a process of its own; one that fails (out of memory, say) is reported as such."""
    command = [sys.executable, __file__, "--case", case, *(["--tiny"] if tiny else [])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def measure(case: str, tiny: bool) -> dict[str, Any]:
    """Tokens a second, utilisation and peak memory of one case."""
    import torch
    from transformers import LlamaConfig

    from stages.lib.training import flops, requirements

    device = "cpu" if tiny else "cuda"
    config = LlamaConfig(**SHAPES[tiny], vocab_size=WORDS[tiny], max_position_embeddings=TOKENS[tiny])
    method = case.removeprefix("trl_")
    peer = case.startswith("trl_")
    run = requirements.Run(
        method=method,  # type: ignore[arg-type]
        rank=8,
        targets="all-linear",
        micro_batch_rows=8 if peer else MICRO[method],
        tokens=TOKENS[tiny],
        precision="bfloat16",
        activation_checkpointing=peer or method == "full",
        sharding="none",
        device=device,
        devices=1,
    )
    needed = requirements.estimate(config, run)
    rate = flops.matrix_rate(device, "bfloat16")
    with tempfile.TemporaryDirectory() as folder:
        clock = _clock()
        trainer = (theirs if peer else ours)(config, method, run, Path(folder), device, clock)
        trainer.train()
    seconds = clock.ends[-1] - clock.ends[WARM_STEPS - 1]
    batch = trainer.args.per_device_train_batch_size * trainer.args.gradient_accumulation_steps
    speed = (len(clock.ends) - WARM_STEPS) * batch * TOKENS[tiny] / seconds
    peak = torch.cuda.max_memory_reserved() if device == "cuda" else None
    return {
        "tokens_per_second": round(speed, 1),
        "matrix_tflops": round(rate / 1e12, 3),
        "mfu": round(speed * needed.flops_per_token / rate, 4),
        "batch_rows": batch,
        "micro_batch_rows": trainer.args.per_device_train_batch_size,
        "peak_bytes": peak,
        "planned_bytes": round(needed.total),
        "peak_over_plan": round(peak / needed.total, 3) if peak else None,
        "plan": {name: round(value) for name, value in asdict(needed).items()},
    }


def rows(tokens: int, words: int, count: int) -> list[Any]:
    """`count` full sequences, each of three rows, whose first third is a prompt."""
    import random

    from stages.lib.training.examples import IGNORED, Example

    drawn = random.Random(SEED)
    parts = [tokens // 3, tokens // 3, tokens - 2 * (tokens // 3)]

    def row(length: int) -> Example:
        ids = [drawn.randrange(words) for _ in range(length)]
        return Example("row", ids, [IGNORED] * (length // 3) + ids[length // 3 :])

    return [[row(length) for length in parts] for _ in range(count)]


def ours(config: Any, method: str, run: Any, saves: Path, device: str, clock: Any) -> Any:
    """This project's trainer, as the paper's profiles set it up, on one device."""
    from stages.lib.training import packing, trainer
    from stages.lib.training.watch import Speed, Watch

    settings = trainer.Settings(
        lora=trainer.Lora(8, 16, 0.0, "all-linear") if method == "lora" else None,
        epochs=1,
        batch_rows=BATCH[device == "cpu"],
        micro_batch_rows=run.micro_batch_rows,
        packed=True,
        learning_rate=5e-5,
        schedule="cosine",
        warmup_share=0.0,
        weight_decay=0.0,
        max_grad_norm=1.0,
        precision="bfloat16",
        activation_checkpointing=run.activation_checkpointing,
        sharding="none",
        seed=SEED,
        save_steps=10**9,
        device=device,
        board=None,
    )
    order = rows(run.tokens, config.vocab_size, BATCH[device == "cpu"] * (WARM_STEPS + STEPS[device == "cpu"]))
    guard = trainer.Guard(order, settings, Watch(Speed(1.0, 1.0), None))
    model = _model(config, "bfloat16" if method == "lora" else "float32", device)
    packing.keep_apart(model, [row for sequence in order for row in sequence])
    made = trainer.make(model, _tokenizer(config.vocab_size), order, [], settings, saves, guard)
    made.args.save_strategy = "no"
    made.add_callback(clock)
    return made


def theirs(config: Any, method: str, run: Any, saves: Path, device: str, clock: Any) -> Any:
    """TRL's SFTTrainer with its defaults, on the same sequences."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from stages.lib.training import packing, trainer

    arguments = SFTConfig(
        output_dir=str(saves),
        use_cpu=device == "cpu",
        num_train_epochs=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    count = arguments.per_device_train_batch_size * (WARM_STEPS + STEPS[device == "cpu"])
    table = [packing.columns(sequence) for sequence in rows(run.tokens, config.vocab_size, count)]
    made = SFTTrainer(
        model=_model(config, "float32", device),
        args=arguments,
        train_dataset=Dataset.from_list([{name: one[name] for name in ("input_ids", "labels")} for one in table]),
        processing_class=_tokenizer(config.vocab_size),
        peft_config=trainer.adapter(trainer.Lora(8, 16, 0.0, "all-linear")) if method == "lora" else None,
    )
    made.add_callback(clock)
    return made


def _clock() -> Any:
    """A callback that notes when each step ended, the device's work included."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.ends.append(time.perf_counter())

    return Clock()


def _model(config: Any, dtype: str, device: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(SEED)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))


def _tokenizer(words: int) -> Any:
    """A tokenizer of so many words: the trainers ask it for its end and padding tokens alone."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {f"w{number}": number for number in range(words)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="w1", pad_token="w2", unk_token="w0")


if __name__ == "__main__":
    main()
