"""SIGKILL at random moments: `python tests/soak_kills.py --kills 500 --seed 6`.

A small repository of real stages is brought from nothing to everything delivered, and its whole process group is
killed at a random moment again and again, in one of four acts: a stage (`stages/run`), hashing and writing dvc.lock
(`dvc repro`), a push, a submission to the stand-in cluster. After each kill the same command is given again until it
ends; it must reach the undisturbed run's dvc.lock and root hashes, and no pod more than one for each Job. Prints
the seed, and a line for each act; exit status 1 if anything differs. CI runs a small sample (tests/test_kills.py).
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
from apiserver import ApiServer  # noqa: E402
from clones import Street  # noqa: E402

ACTS = ("stage", "repro", "push", "submit")


def main(arguments: list[str]) -> int:
    """Run the series and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--acts", nargs="*", default=ACTS, choices=ACTS)
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        home = Path(folder)
        wanted = undisturbed(home / "undisturbed")
        failures = 0
        for act in options.acts:
            share = -(-options.kills // len(options.acts))
            kills = runs = 0
            while kills < share:
                runs += 1
                path = home / f"{act}-{runs}"
                more, problem = disturbed(path, act, wanted, draw, share - kills)
                kills += more
                if problem:
                    failures += 1
                    print(f"{act}, run {runs}: {problem}", flush=True)
                shutil.rmtree(path)
            print(f"{act}: {kills} kills in {runs} runs", flush=True)
    print(f"{failures} failures")
    return 1 if failures else 0


def undisturbed(path: Path) -> dict:
    """dvc.lock and roots of a run that nobody kills."""
    street = Street(path / "host", str(path / "remote"))
    ran = street.dvc("repro")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return state(street)


def state(street: Street) -> dict:
    """What two runs must have in common."""
    seals = sorted((street.path / "data").rglob("artifact.json"))
    roots = {str(seal.relative_to(street.path)): json.loads(seal.read_text())["root"] for seal in seals}
    return {"lock": (street.path / "dvc.lock").read_text(), "roots": roots}


def disturbed(path: Path, act: str, wanted: dict, draw: random.Random, most: int) -> tuple[int, str]:
    """One run of `act` with up to `most` kills: how many there were, and what is wrong at its end."""
    remote = path / "remote"
    street = Street(path / "host", str(remote))
    street.edit("k8s/params.yaml", "k8s/params.yaml", lambda values: values["cluster"].update(remote=str(remote)))
    street.commit()
    with ApiServer(path / "cluster") as server:
        environment = street.env(KUBECONFIG=str(server.kubeconfig))
        if act == "push":
            assert street.dvc("repro").returncode == 0
        kills = 0
        for words in commands(act):
            length = 3.0
            for attempt in range(200):
                delay = draw.uniform(0, length) if kills < most and attempt < 20 else None
                status, took = run(words, street.path, environment, delay)
                if status == 0:
                    break
                kills += status == -signal.SIGKILL
                if delay is None and status:
                    return kills, f"{' '.join(words)} ended with status {status} after {kills} kills"
                length = max(length, took * 1.5)
        if act == "stage":  # the stages ran without dvc: it must take them as they are
            assert street.dvc("commit", "--force", "--quiet").returncode == 0
        problem = compare(state(street), wanted)
        if act == "submit" and len(server.started) != len(set(server.started)):
            problem = problem or f"a Job had more than one pod: {server.started}"
        if act in ("push", "submit"):
            problem = problem or from_the_remote(street, path / "clone", act)
    return kills, problem


def commands(act: str) -> list[list[str]]:
    """What is started again until it ends well."""
    python = [sys.executable, "-m"]
    return {
        "stage": [["stages/run", "collect"], ["stages/run", "filter"]],
        "repro": [[*python, "dvc", "--wait-for-lock", "repro", "--quiet"]],
        "push": [[*python, "dvc", "push", "--quiet"], [*python, "dvc", "push", "--quiet", "--run-cache"]],
        "submit": [[*python, "k8s.submit", "run"]],
    }[act]


def run(words: list[str], cwd: Path, environment: dict[str, str], delay: float | None) -> tuple[int, float]:
    """Run to the end, or kill the whole process group after `delay` seconds."""
    started = time.monotonic()
    process = subprocess.Popen(
        words, cwd=cwd, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return process.wait(delay if delay is not None else 600), time.monotonic() - started
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait(), time.monotonic() - started


def compare(found: dict, wanted: dict) -> str:
    """What differs, in words; "" if nothing does."""
    return next(
        (f"{key} differs: {found[key]} instead of {wanted[key]}" for key in wanted if found[key] != wanted[key]), ""
    )


def from_the_remote(street: Street, path: Path, act: str) -> str:
    """A colleague's clone takes everything from the remote and runs nothing."""
    if act == "push":
        shutil.copy(street.path / "dvc.lock", street.path.parent / "lock")
    clone = street.clone(path)
    if act == "push":
        shutil.copy(street.path.parent / "lock", path / "dvc.lock")
        pulled = clone.dvc("pull", "--quiet")
        return "" if pulled.returncode == 0 else f"a clone cannot pull: {pulled.stderr}"
    ran = clone.run("dvc", "repro", "--pull", "--allow-missing", EXECUTOR="kubernetes")
    return "" if ran.returncode == 0 else f"a clone cannot take the result: {ran.stderr}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
