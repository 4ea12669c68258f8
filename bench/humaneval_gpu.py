"""HumanEval's pass@1 before and after tuning SmolLM2-135M on documented functions; bench/results/humaneval_gpu.json.

    python bench/humaneval_gpu.py [--tiny]     --tiny: sixteen rows and four problems on a CPU; writes nothing

The rows need no teacher: each documented function of data/corpus (`make`, or `dvc pull data/corpus`) is the answer to
its own docstring. The pipeline's own stages train, sample and score run on them in a workspace of their own, with the
recipe that the paper names for 5,000 rows or fewer (LoRA, rank 8, 1e-4, 3 epochs) and all of HumanEval's problems.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import chdir
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from commands.ablate.matrix import round_trip  # noqa: E402
from stages.lib import artifacts, records  # noqa: E402
from stages.lib.errors import BadInput  # noqa: E402
from stages.lib.models import causal  # noqa: E402

RESULTS = ROOT / "bench/results/humaneval_gpu.json"
STAGES = ("train", "sample@base", "sample@tuned", "score@base", "score@tuned")
HELD_OUT = 50  # rows to validate on
KNOBS: dict[str, dict[str, Any]] = {
    "train": {"batch_rows": 64, "micro_batch_rows": 16, "precision": "bfloat16", "save_steps": 1000},
    "sample": {"problems": 164, "max_new_tokens": 256, "batch_rows": 64},
    "score": {"workers": os.cpu_count(), "allow_weak_isolation": True},  # a machine lent for a benchmark may have none
}
TINY: dict[str, dict[str, Any]] = {
    "train": {"epochs": 1, "device": "cpu"},
    "sample": {"problems": 4, "max_new_tokens": 16, "device": "cpu"},
    "score": {},
}


def main() -> None:
    """Tune and measure, print and write."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    tiny = parser.parse_args().tiny
    if not tiny and not torch.cuda.is_available():
        raise SystemExit(f"no GPU that torch can use is here: {RESULTS.relative_to(ROOT)} stays owed")
    try:
        rows = documented()[: 16 if tiny else None]
    except BadInput as error:
        raise SystemExit(str(error)) from None
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), rows, TINY if tiny else KNOBS)
    report["machine"] = None if tiny else torch.cuda.get_device_name()
    print(json.dumps(report, indent=1))
    if not tiny:
        RESULTS.write_text(json.dumps(report, indent=1) + "\n")


def documented() -> list[dict[str, Any]]:
    """A row for each documented function, in the order of their hashes. Raises `BadInput` where there is no corpus."""
    corpus = artifacts.open(ROOT / "data/corpus")
    functions = records.read(corpus.parts("corpus.parquet"), records.FUNCTION).to_pylist()
    return [
        {
            "id": one["id"],
            "instruction": f"Write the {one['language']} function {one['name']}. {one['docstring']}",
            "input": "",
            "output": one["code"],
        }
        for one in sorted(functions, key=lambda one: str(one["id"]))
        if one["docstring"]
    ]


def measure(folder: Path, rows: list[dict[str, Any]], knobs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Scores and losses, and the seconds that each stage took."""
    held_out = min(HELD_OUT, len(rows) // 4)
    yaml = round_trip()
    values = yaml.load(ROOT / "params.yaml")
    for section, changes in knobs.items():
        values[section].update(changes)
    yaml.dump(values, folder / "params.yaml")
    (folder / ".tidemill").mkdir()
    (ROOT / causal.UNPACKED).mkdir(parents=True, exist_ok=True)
    (folder / causal.UNPACKED).symlink_to(ROOT / causal.UNPACKED)
    shutil.copytree(ROOT / "data/corpus", folder / "data/corpus")
    with chdir(folder), artifacts.create("data/dataset", stage="bench", inputs=[artifacts.open("data/corpus")]) as out:
        records.write_lines(out / "train.jsonl", rows[held_out:])
        records.write_lines(out / "validation.jsonl", rows[:held_out])
    seconds = {stage: run(stage, folder) for stage in STAGES}
    train = artifacts.read_json(folder / "metrics/train.json")
    return {
        "rows": train["rows"],
        "loss": [train["loss_first"], train["loss_last"]],
        "before": score(folder, "base"),
        "after": score(folder, "tuned"),
        "seconds": seconds,
    }


def run(stage: str, folder: Path) -> float:
    """Run `stage` in `folder`; the seconds it took."""
    began = time.monotonic()
    command = [sys.executable, "-m", "executors.runner", stage]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{stage} failed:\n{done.stderr[-2000:]}")
    return round(time.monotonic() - began, 1)


def score(folder: Path, model: str) -> dict[str, Any]:
    """pass@1 of `model` and its interval."""
    told = artifacts.read_json(folder / f"metrics/score-{model}.json")
    return {name: told[name] for name in ("pass@1", "pass@1_bootstrap_95", "passed", "total", "slice")}


if __name__ == "__main__":
    main()
