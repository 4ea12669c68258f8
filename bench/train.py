"""Training on a CPU: the default profile against TRL's defaults, on the same rows; writes bench/results/train.json.

    python bench/train.py [ROUNDS [ROWS]]     2 and all by default; needs data/dataset

Both tune SmolLM2-135M with the same LoRA adapter over one epoch of data/dataset's training rows, in turns, in one
process with the same threads. TRL's side is SFTTrainer with an SFTConfig that sets nothing but where it runs (no
GPU, no saves, no reports): batches of 8 padded rows, bfloat16, activation checkpointing. As bfloat16 is slow on a CPU
without instructions for it, and fast on one with them, each side runs in both. A token is one of a row, padding not
counted. Seconds are those of train() alone; CPU seconds are steadier where the machine is shared.
"""

import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

RESULTS = ROOT / "bench/results/train.json"


def ours(knobs: Any, rows: list[Any], tokenizer: Any, saves: Path, precision: Any) -> Any:
    """The trainer of the default profile in `precision`, over one epoch, without validation."""
    from stages.lib.training import packing, trainer
    from stages.lib.training.watch import Speed, Watch

    names = {name for name in trainer.Settings.__dataclass_fields__ if hasattr(knobs, name)}
    given = {name: getattr(knobs, name) for name in names - {"lora", "device", "epochs", "precision", "save_steps"}}
    settings = trainer.Settings(
        **given,
        lora=trainer.Lora(**knobs.lora.model_dump()),
        epochs=1,
        precision=precision,
        packed=knobs.packing != "none",
        save_steps=10**9,
        device="cpu",
        board=None,
    )
    order = packing.in_order(rows, 1, knobs.seed, None)
    model = trainer.load(knobs.model, knobs.method, precision, "cpu")
    if settings.packed:
        packing.keep_apart(model, rows)
    guard = trainer.Guard(order, settings, Watch(Speed(1.0, 1.0), None))
    made = trainer.make(model, tokenizer, order, [], settings, saves, guard)
    made.args.save_strategy = "no"
    return made


def theirs(knobs: Any, texts: list[dict[str, str]], tokenizer: Any, saves: Path, **changed: Any) -> Any:
    """TRL's SFTTrainer with its defaults but for what is `changed`."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from stages.lib.models import causal
    from stages.lib.training import trainer

    quiet = {"save_strategy": "no", "report_to": "none", "disable_tqdm": True}
    arguments = SFTConfig(output_dir=str(saves), use_cpu=True, num_train_epochs=1, **quiet, **changed)
    return SFTTrainer(
        model=causal.load_causal(knobs.model)[0],
        args=arguments,
        train_dataset=Dataset.from_list(texts),
        processing_class=tokenizer,
        peft_config=trainer.adapter(trainer.Lora(**knobs.lora.model_dump())),
    )


def measure(made: Any, tokens: int) -> dict[str, float]:
    """Seconds, CPU seconds and tokens a second of one train()."""
    started, cpu = time.perf_counter(), time.process_time()
    result = made.train()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "tokens_per_second": round(tokens / seconds, 1),
        "tokens_per_cpu_second": round(tokens / cpu, 1),
        "loss": round(result.training_loss, 4),
    }


def main() -> None:
    """Measure both in turns and write the result."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as executors/runner.py does, for both sides
    import torch
    import transformers
    import trl

    from stages import train as stage
    from stages.lib import artifacts, params
    from stages.lib.dataset.rows import read_sealed
    from stages.lib.models import causal, prompts
    from stages.lib.training import examples

    os.chdir(ROOT)
    os.environ["TQDM_DISABLE"] = "1"
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    knobs = params.load("train", stage.Params)
    torch.set_num_threads(knobs.threads)
    tokenizer = causal.load_tokenizer(knobs.model)
    raw = read_sealed(artifacts.open("data/dataset").file("train.jsonl"))
    rows, _ = examples.fitting([examples.encode(row, tokenizer) for row in raw], knobs.max_tokens)
    rows = rows[: int(sys.argv[2])] if len(sys.argv) > 2 else rows
    kept = {row.id for row in rows}
    texts = [
        {"prompt": prompts.render(row["instruction"], row["input"]), "completion": row["output"]}
        for row in raw
        if row["id"] in kept
    ]
    tokens = sum(len(row.input_ids) for row in rows)
    made = {
        "ours_float32": lambda saves: ours(knobs, rows, tokenizer, saves, "float32"),
        "ours_bfloat16": lambda saves: ours(knobs, rows, tokenizer, saves, "bfloat16"),
        "trl_float32": lambda saves: theirs(knobs, texts, tokenizer, saves, bf16=False),
        "trl_bfloat16": lambda saves: theirs(knobs, texts, tokenizer, saves),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in made}
    for _ in range(rounds):
        for name, make in made.items():
            with tempfile.TemporaryDirectory() as saves:
                found[name].append(measure(make(Path(saves)), tokens))
            print(name, json.dumps(found[name][-1]), flush=True)

    def best(name: str, what: str) -> float:
        return max(one[what] for one in found[name])

    report = {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {"torch": torch.__version__, "trl": trl.__version__, "transformers": transformers.__version__},
        "seed": knobs.seed,
        "model": knobs.model,
        "threads": knobs.threads,
        "rows": len(rows),
        "tokens": tokens,
        "runs": found,
        "ratios": {
            precision: {
                what: round(best(f"ours_{precision}", what) / best(f"trl_{precision}", what), 2)
                for what in ("tokens_per_second", "tokens_per_cpu_second")
            }
            for precision in ("float32", "bfloat16")
        },
    }
    print(json.dumps(report, indent=1))
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
