"""What a stage costs beyond its own work: `stages/run` here, and in its image, beside a bare `python -m`.

    .venv/bin/python -m bench.overhead [--runs 7]

The stage is filter on the test sources' functions, work of milliseconds. Prints the median seconds on the clock,
what each way takes more than the bare module, and CPU seconds (here; an engine's container is no child of ours), and
writes bench/results/overhead.json. Ways take turns, so that other work on the machine meets all of them alike.
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
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]
RESULT = REPOSITORY / "bench/results/overhead.json"


def main() -> None:
    """Measure and write the result."""
    from clones import Street

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        street = Street(Path(folder) / "host", "")
        (street.path / ".venv").symlink_to(sys.prefix)
        subprocess.run(["stages/run", "collect"], cwd=street.path, check=True, env=street.env())
        bare = [sys.executable, "-c", "import sys; sys.path.insert(0, '.'); from stages.filter import main; main()"]
        ways = {"bare": (bare, "local"), "local": (["stages/run", "filter"], "local")}
        if shutil.which("podman") or shutil.which("docker"):
            ways["container"] = (["stages/run", "filter"], "container")
        taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for number in range(runs + 1):
            for way, (words, executor) in ways.items():
                seconds = measure(words, street.path, street.env(EXECUTOR=executor))
                if number:  # the first of each warms caches, and an image's bytecode
                    taken[way].append(seconds)
    clock = {way: round(statistics.median(one for one, _ in found), 3) for way, found in taken.items()}
    result = {
        "seconds": clock,
        "overhead_s": {way: round(clock[way] - clock["bare"], 3) for way in ways if way != "bare"},
        "cpu_seconds": {way: round(statistics.median(cpu for _, cpu in taken[way]), 3) for way in ("bare", "local")},
        "runs": runs,
        "load": os.getloadavg()[1],
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.release()},
    }
    RESULT.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(json.dumps(result, indent=1))


def measure(words: list[str], cwd: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds on the clock, and of CPU, of one run."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(words, cwd=cwd, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
