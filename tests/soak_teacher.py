"""Kill a run at random moments, many times, then finish it, and count at the endpoint what was paid twice.

    make soak KILLS=100 SEED=1

The endpoint runs in a process of its own and goes on answering when its client is dead, as providers do; what it
answered counts as paid. After each kill its timeline says what was in flight and what had been answered 20 ms or more
before: the first may be asked again, the second never.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
SETTLED_S = 0.02  # after which a response that was received must be on disk
IN_FLIGHT = 32
PROGRAM = (
    f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / 'tests')!r}];"
    "import soak_teacher; soak_teacher.work(sys.argv[1], sys.argv[2], int(sys.argv[3]))"
)


def main() -> int:
    """Run the series; exit status 1 if anything was paid twice that need not have been."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    knobs = parser.parse_args()
    print(f"seed {knobs.seed}, {knobs.kills} kills", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        told = run(knobs.kills, knobs.seed, Path(folder))
    print(json.dumps(told))
    return int(told["paid_twice"] > told["in_flight_at_kills"] or told["late"] > 0 or told["missing"] > 0)


def run(kills: int, seed: int, folder: Path) -> dict[str, int]:
    """Kill a run `kills` times, finish it, and compare what was asked again with what could not be known."""
    draw = random.Random(seed)
    rows = 40 * kills
    server = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "tests" / "endpoint.py"), "--latency-ms", "50"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout
        url = server.stdout.readline().strip()
        deaths = [kill_one(url, folder, rows, draw) for _ in range(kills)]
        subprocess.run([sys.executable, "-c", PROGRAM, url, str(folder), str(rows)], check=True)
        return count(timeline(url), deaths, rows)
    finally:
        server.kill()
        server.wait()


def kill_one(url: str, folder: Path, rows: int, draw: random.Random) -> tuple[float, int]:
    """Start a worker and kill it a random while after its first request; when that was, and how many requests
    the endpoint had then had. The answers to what was in flight have left it when this returns."""
    before = len(timeline(url))
    worker = subprocess.Popen([sys.executable, "-c", PROGRAM, url, str(folder), str(rows)], stderr=subprocess.DEVNULL)
    while len(timeline(url)) == before and worker.poll() is None:
        time.sleep(0.01)
    time.sleep(draw.uniform(0.0, 0.15))
    died = time.monotonic()
    worker.kill()
    worker.wait()
    while any(left == 0.0 for _, _, left in timeline(url)):
        time.sleep(0.01)
    return died, len(timeline(url))


def count(rows: list[tuple[str, float, float]], deaths: list[tuple[float, int]], asked: int) -> dict[str, int]:
    """`paid_twice`: answers beyond one a request; `late`: those whose first answer had left the endpoint 20 ms or
    more before a kill; `missing`: requests without an answer."""
    answers = Counter(name for name, _, left in rows if left)
    first: dict[str, float] = {}
    late = in_flight = 0
    for death, had in deaths:
        in_flight += sum(left >= death - SETTLED_S for _, _, left in rows[:had])
    for name, arrived, left in rows:
        if name in first:
            death = max((death for death, _ in deaths if death <= arrived), default=0.0)
            late += first[name] < death - SETTLED_S
        first[name] = left
    return {
        "kills": len(deaths),
        "requests": asked,
        "in_flight_at_kills": in_flight,
        "paid_twice": sum(answers.values()) - len(answers),
        "late": late,
        "missing": asked - len(answers),
    }


def timeline(url: str) -> list[tuple[str, float, float]]:
    """Every request: its identity, when it arrived, when its answer left (0.0: not yet)."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/timeline") as response:
        return [tuple(row) for row in json.load(response)]


def work(url: str, folder: str, rows: int) -> None:
    """A worker: ask everything."""
    from asking import ask_all, asks, settings

    given = ask_all(settings(url, concurrency=IN_FLIGHT, patience_s=60.0, timeout_s=60.0), asks(rows), Path(folder))
    assert all(answer.value for answer in given)


if __name__ == "__main__":
    sys.exit(main())
