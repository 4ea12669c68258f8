"""What a stage costs beyond its own work: `stages/run` here, and in its image, beside a bare `python -m`.

    .venv/bin/python -m bench.overhead [--rounds 15]

The stage is filter on the test sources' functions, work of milliseconds. In each round the ways take turns, another
one first each time, and what a way takes more than the bare module is told within the round: other work on the
machine meets all of them alike. Prints the medians and quartiles over the rounds, in seconds on the clock, and the
least CPU seconds (here; an engine's container is no child of ours), and writes bench/results/overhead.json.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests/support")]
RESULT = REPOSITORY / "bench/results/overhead.json"
BARE = [sys.executable, "-c", "import sys; sys.path.insert(0, '.'); from stages.filter import main; main()"]


def main() -> None:
    """Measure and write the result."""
    from clones import Street

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        street = Street(Path(folder) / "host", "")
        (street.path / ".venv").symlink_to(sys.prefix)
        subprocess.run(["stages/run", "collect"], cwd=street.path, check=True, env=street.env())
        ways = {"bare": (BARE, "local"), "local": (["stages/run", "filter"], "local")}
        if shutil.which("podman") or shutil.which("docker"):
            ways["container"] = (["stages/run", "filter"], "container")
        taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        names = list(ways)
        for number in range(rounds + 1):
            first = number % len(names)
            for way in names[first:] + names[:first]:
                words, executor = ways[way]
                seconds = measure(words, street.path, street.env(EXECUTOR=executor))
                if number:  # the first of each warms caches, and an image's bytecode
                    taken[way].append(seconds)
    clock = {way: [one for one, _ in found] for way, found in taken.items()}
    beyond = {
        way: [one - bare for one, bare in zip(clock[way], clock["bare"], strict=True)] for way in names if way != "bare"
    }
    result = {
        "seconds": {way: quartiles(found) for way, found in clock.items()},
        "overhead_s": {way: quartiles(found) for way, found in beyond.items()},
        "least_cpu_seconds": {way: round(min(cpu for _, cpu in taken[way]), 3) for way in ("bare", "local")},
        "rounds": rounds,
        "load": os.getloadavg()[1],
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.release()},
    }
    RESULT.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(json.dumps(result, indent=1))


def quartiles(values: list[float]) -> list[float]:
    """The first quartile, the median and the third."""
    return [round(value, 3) for value in statistics.quantiles(values, n=4, method="inclusive")]


def measure(words: list[str], cwd: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds on the clock, and of CPU, of one run."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(words, cwd=cwd, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
