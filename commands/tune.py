"""Trains on data/dataset, or on rows of one's own: `make tune`, `make tune DATA=rows.jsonl`.

DATA is a file of instruction, input and output, or of messages (docs/training.md); nothing before training has to run
then. A profile, profiles/tune.yaml, names it and stays in force; `make tune DATA=` goes back to data/dataset.
"""

import argparse
from pathlib import Path
from typing import Any

from commands import profile
from executors import chosen, parameters, profiles
from stages.lib import artifacts, params
from stages.lib.dataset import rows
from stages.lib.errors import DONE, BadInput

NAME = "tune"
DATASET = "data/dataset"
OWN = ("train", "score@base", "score@tuned")  # what can run without a dataset


def main(arguments: list[str]) -> int:
    """Train and measure; the exit status of the stage that failed, or 0. Raises `BadInput` for rows that train would
    refuse, before anything runs."""
    parser = argparse.ArgumentParser(prog="make tune", description=__doc__)
    parser.add_argument("--data", default=None)
    data = parser.parse_args(arguments).data
    if data is not None:
        _put(data)
    for line in profiles.refresh():
        print(line, flush=True)
    parameters.check()
    section = params.merged()["train"]
    if section["file"] == DATASET and not Path(DATASET).is_dir():
        raise BadInput(f"{DATASET} isn't here; make one (`make dataset SOURCE=…`), or name rows: make tune DATA=…")
    if section["file"] != DATASET:
        counts = {split: len(found) for split, found in rows.read(section["file"], section["validation_share"]).items()}
        print(f"{section['file']}: {counts.get('train', 0)} rows to train on, {counts.get('validation', 0)} held out")
    whole = section["file"] == DATASET
    if status := chosen().run([] if whole else OWN):
        return status
    print("\n".join(_conclude(whole)))
    return DONE


def _put(data: str) -> None:
    """Put a profile in force in which train reads the file `data`, or, for "", none."""
    names = [name for name in profiles.in_force() if name != NAME]
    file = profiles.FOLDER / f"{NAME}.yaml"
    if not data:
        profile.put(names)
        file.unlink(missing_ok=True)
        return
    path = Path(data).expanduser().resolve()
    if not path.exists():
        raise BadInput(f"DATA={data}: no such file; name one with a row a line (docs/training.md, Your own rows alone)")
    here = Path.cwd()
    named = str(path.relative_to(here) if path.is_relative_to(here) else path)
    rows.read_own(Path(named), "DATA")  # refuses what cannot be read
    values: dict[str, Any] = {"train": {"file": named}}
    artifacts.write_text(file, f"# Written by `make tune DATA={data}`.\n{profiles.to_yaml(values)}")
    profile.put([*names, NAME])


def _conclude(whole: bool) -> list[str]:
    if whole:
        return [Path("report/summary.txt").read_text(encoding="utf-8").rstrip()]
    lines = []
    for model in ("base", "tuned"):
        told = artifacts.read_json(Path(f"metrics/score-{model}.json"))
        lines.append(f"pass@1, {model:<6} {told['pass@1']:.1%}")
    return [*lines, "models/tuned holds the tuned model; `make serve` puts it behind an endpoint"]
