"""SIGKILL at random moments inside each window of a run: `python tests/soak/soak_kills.py --kills 500 --seed 6`.

A small repository of real stages is brought from nothing to everything delivered, and its whole process group is killed
again and again at points drawn from one of the windows of tests/support/killed.py: a running stage, hashing, writing
dvc.lock, writing DVC's lock file, a push, its lists. After each kill the same command is given again, as `make` gives
it; it must reach the undisturbed run's dvc.lock and root hashes with every object sound, run no stage whose result
dvc.lock or the run cache held, and leave nothing out that a clone needs. Prints the seed, and for each window how many
kills fell into it and how many runs they were; exit status 1 if anything differs. CI runs a small sample
(tests/executors/tracking/test_kills.py); tests/soak/soak_cluster.py is the same for a cluster.
"""

import hashlib
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML, YAMLError

REPOSITORY = Path(__file__).parent.parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests/support")]
import series  # noqa: E402
from clones import Street  # noqa: E402
from killed import PUSHES, WINDOWS  # noqa: E402

KILLED = REPOSITORY / "tests/support/killed.py"
IN_A_ROW = 3  # kills of one run at most, so that later stages are reached
REPRO, PUSH = ["repro", "--verbose"], (["push", "--quiet", "--run-cache"],)


def main(arguments: list[str]) -> int:
    """Run the series and return the exit status."""
    options = series.options(__doc__, arguments, kills=500, windows=WINDOWS)
    draw = random.Random(options.seed)
    failures = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        repository = Series(Path(folder), options.windows)
        for window in options.windows:
            share = -(-options.kills // len(options.windows))
            kills = runs = recovered = 0
            started = time.monotonic()
            while kills < share and runs < 5 * share + 5:
                runs += 1
                run = repository.disturbed(window, draw, share - kills)
                kills += run.kills
                recovered += run.recovered
                if run.problem:
                    failures += 1
                    print(f"{window}, run {runs}: {run.problem}", flush=True)
            took = time.monotonic() - started
            mended = f", {recovered} times DVC's own file was cut and mended" if recovered else ""
            print(f"{window}: {kills} kills in {runs} runs{mended} ({took:.0f} s)", flush=True)
            failures += kills < share
    print(f"{failures} failures")
    return 1 if failures else 0


@dataclass
class Run:
    """From nothing to the end: how many kills, how often a file of DVC had to be mended, what was wrong ("")."""

    kills: int = 0
    recovered: int = 0
    problem: str = ""


class Series:
    """A repository of which each run gets a copy, what an undisturbed run makes of it, and how long its windows are."""

    def __init__(self, home: Path, windows: Sequence[str]) -> None:
        self.home = home
        self.fresh = Street(home / "fresh/host", "../remote")
        self.lengths: dict[str, float] = {}
        street = self.copy("done")
        assert street.dvc("repro", "--quiet").returncode == 0
        self.wanted = state(street)
        for window in windows:
            street = self.copy("measured", done=window in PUSHES)
            for one in PUSH if window in PUSHES else [REPRO]:
                status, said = self.run(street, window, 0, one)
                assert status == 0, said
                self.lengths[" ".join([window, *one])] = float((home / "length").read_text())

    def copy(self, name: str, done: bool = False) -> Street:
        """A run of its own: the repository from nothing, or `done` with everything made and nothing pushed."""
        path = self.home / name
        shutil.rmtree(path, ignore_errors=True)
        subprocess.run(["cp", "-a", str(self.home / ("done" if done else "fresh")), str(path)], check=True)
        street = object.__new__(Street)
        street.path = path / "host"
        return street

    def run(self, street: Street, window: str, point: float, words: list[str]) -> tuple[int, str]:
        """One command, killed at `point`; its exit status and what it said."""
        command = [sys.executable, str(KILLED), window, str(point), str(self.home / "length"), *words]
        process = subprocess.Popen(
            command,
            cwd=street.path,
            env=street.env(PYTHONDONTWRITEBYTECODE=""),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        said, _ = process.communicate(timeout=600)
        return process.returncode, said

    def disturbed(self, window: str, draw: random.Random, most: int) -> Run:
        """One run with up to `most` kills in `window`."""
        street = self.copy("run", done=window in PUSHES)
        run = Run()
        commands = PUSH if window in PUSHES else [REPRO]
        for words in commands:
            limit = IN_A_ROW if words is commands[-1] else IN_A_ROW - 1  # the last command has its share
            length = self.lengths[" ".join([window, *words])]
            for _ in range(20):
                point: float = 0
                if run.kills < min(most, limit):
                    point = draw.uniform(0, length) if window == "stage" else draw.randint(1, int(length))
                finished = results(street)
                status, said = self.run(street, window, point, words)
                if again := ran(said) & finished:
                    run.problem = f"ran {again} again:\n{said}"
                if status == 0:
                    break
                run.kills += status == -signal.SIGKILL
                if status != -signal.SIGKILL:
                    mended = street.run("executors.tracking.recover")
                    if mended.returncode:
                        run.problem = f"dvc {' '.join(words)} ended with status {status}:\n{said}"
                        return run
                    run.recovered += 1
        run.problem = run.problem or compare(state(street), self.wanted) or damaged(street)
        if window in PUSHES and not run.problem:
            run.problem = self.pulled(street)
        return run

    def pulled(self, street: Street) -> str:
        """What a colleague's clone, who has nothing but the remote, finds wrong."""
        path = street.path.parent / "clone"
        clone = street.clone(path)
        shutil.copy(street.path / "dvc.lock", path / "dvc.lock")
        took = clone.dvc("pull")
        if took.returncode:
            return f"a clone cannot pull: {took.stdout}{took.stderr}"
        if problem := compare(state(clone), self.wanted):
            return f"a clone: {problem}"
        (path / "dvc.lock").unlink()
        took = clone.run("dvc", "repro", "--pull", "--allow-missing", EXECUTOR="kubernetes")
        return "" if took.returncode == 0 else f"the run cache is not in the remote: {took.stderr}"


def state(street: Street) -> dict:
    """What two runs must have in common."""
    seals = sorted((street.path / "data").rglob("artifact.json"))
    roots = {str(seal.relative_to(street.path)): json.loads(seal.read_text())["root"] for seal in seals}
    return {"lock": (street.path / "dvc.lock").read_text(), "roots": roots}


def results(street: Street) -> set[str]:
    """The stages whose result dvc.lock or the run cache holds, with all that it is made of in the cache."""
    entries = list((street.path / ".dvc/cache/runs").glob("??/*/*"))
    found = [entry for file in entries if len(file.name) == 64 and (entry := read(file))]
    found += (read(street.path / "dvc.lock").get("stages") or {}).values()
    return {one["cmd"].removeprefix("stages/run ") for one in found if cached(street, one.get("outs") or [{}])}


def read(file: Path) -> dict:
    """A YAML file's content; nothing of one that a kill cut short."""
    try:
        return dict(YAML(typ="safe").load(file) or {})
    except (OSError, YAMLError, ValueError):
        return {}


def cached(street: Street, outs: list[dict]) -> bool:
    """Whether the cache has every object of these outputs."""

    def path(oid: str) -> Path:
        return street.path / ".dvc/cache/files/md5" / oid[:2] / oid[2:]

    oids = [out.get("md5", "") for out in outs]
    for oid in [one for one in oids if one.endswith(".dir") and path(one).is_file()]:
        oids += [entry["md5"] for entry in json.loads(path(oid).read_text())]
    return all(len(oid) >= 32 and path(oid).is_file() for oid in oids)


def ran(said: str) -> set[str]:
    """The stages that DVC says it runs."""
    return set(re.findall(r"^Running stage '(\w+)'", said, re.MULTILINE))


def compare(found: dict, wanted: dict) -> str:
    """What differs, in words; "" if nothing does."""
    return next(
        (f"{key} differs: {found[key]} instead of {wanted[key]}" for key in wanted if found[key] != wanted[key]), ""
    )


def damaged(street: Street) -> str:
    """An object of cache or remote that is not what its name says; "" if there is none."""
    for store in street.path / ".dvc/cache/files/md5", street.path.parent / "remote/files/md5":
        for file in store.glob("??/*"):
            name = (file.parent.name + file.name).removesuffix(".dir")
            if re.fullmatch("[0-9a-f]{32}", name) and hashlib.md5(file.read_bytes()).hexdigest() != name:
                return f"{file} is damaged"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
