"""SIGKILL while a model is trained: `python tests/soak/soak_train.py --kills 20 --seed 6`.

A tiny Llama (tests/support/tiny.py) is tuned for ten steps with dropout, saving after every second one. A run that
nobody kills gives the weights; then runs are killed as soon as they log a step drawn by the seed or a moment after,
started again and killed again, until so many kills are done. Each run must end with the same bytes. Prints the seed and
a line for each run; exit status 1 if any differs. CI runs a sample (tests/stages/test_train.py).
"""

import hashlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests/support")]
import series  # noqa: E402
import tiny  # noqa: E402
from tuning import prepare  # noqa: E402
from workspace import Workspace  # noqa: E402

STEPS = 10
MOMENT_S = 0.3  # a step of the tiny model with its save lasts less


def main(arguments: list[str]) -> int:
    """Run the series and return the exit status."""
    options = series.options(__doc__, arguments, kills=20)
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        tiny.save(Path(folder) / "model")
        os.chdir(folder)
        workspace = Workspace(Path(folder))
        prepare(workspace, Path(folder) / "model")
        wanted, _ = finish(workspace)
        kills = runs = failures = 0
        while kills < options.kills:
            runs += 1
            steps = disturb(workspace, draw, options.kills - kills)
            kills += len(steps)
            weights, resumed = finish(workspace)
            failures += weights != wanted
            print(f"run {runs}, killed after steps {steps}, {resumed}: {weights[:16]}", flush=True)
    print(f"{kills} kills in {runs} runs, {failures} of them with other weights")
    return 1 if failures else 0


def disturb(workspace: Workspace, draw: random.Random, most: int) -> list[int]:
    """Kill a run up to three times, each time later in it; the steps after which it was killed."""
    shutil.rmtree("models", ignore_errors=True)
    killed = []
    for wanted in sorted(draw.sample(range(1, STEPS), min(most, draw.randint(1, 3)))):
        process = workspace.start("train")
        assert process.stdout
        logged = (re.search(rf"step (\d+) of {STEPS}", line) for line in process.stdout)
        step = next((int(found[1]) for found in logged if found and int(found[1]) >= wanted), STEPS)
        time.sleep(draw.uniform(0, MOMENT_S))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            killed.append(step)
    return killed


def finish(workspace: Workspace) -> tuple[str, str]:
    """Run to the end: the hash of the weights' bytes, and from which save it went on."""
    done = workspace.run("train")
    assert done.returncode == 0, done.stderr
    line = next((line for line in done.stderr.splitlines() if "resuming from" in line), "from its beginning")
    weights = Path("models/tuned/adapter/adapter_model.safetensors").read_bytes()
    return hashlib.sha256(weights).hexdigest(), line.rpartition("/")[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
