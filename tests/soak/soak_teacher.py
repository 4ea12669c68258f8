"""Kill a run at random moments, many times, then finish it, and count at the endpoint what was paid twice.

    make soak KILLS=100 SEED=1

The endpoint runs in a process of its own and goes on answering when its client is dead, as providers do; what it
answered counts as paid. Its timeline says what was in flight at each kill: that may be asked again. The killed run's
own notes say what it had received 20 ms or more before, and what was on disk: neither may ever be asked again.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import series

if TYPE_CHECKING:
    from stages.lib.teacher.exchange import Reply, Request

REPOSITORY = Path(__file__).parent.parent.parent
SETTLED_S = 0.02  # after which a response that was received must be on disk
IN_FLIGHT = 32
# An endpoint that reasons in tags, takes no temperature, and refuses or withholds some answers. It does take the seed,
# which alone tells a second re-ask from the first: without it both are the same body, rightly sent twice.
DIALECTS = (
    "--reasons",
    "tags",
    "--unsupported",
    "temperature,top_p",
    "--faults",
    "refusal:0.03,content filter:0.03",
)
NOTES = "notes"
PATH = [str(REPOSITORY), str(REPOSITORY / "tests/support"), str(REPOSITORY / "tests/soak")]
PROGRAM = (
    f"import sys; sys.path[:0] = {PATH!r};"
    "import soak_teacher; soak_teacher.work(sys.argv[1], sys.argv[2], int(sys.argv[3]))"
)


def main(arguments: list[str]) -> int:
    """Run the series; exit status 1 if anything was paid twice that need not have been."""
    knobs = series.options(__doc__, arguments, kills=100)
    with tempfile.TemporaryDirectory() as folder:
        told = run(knobs.kills, knobs.seed, Path(folder))
        spoken = run(knobs.kills, knobs.seed, Path(folder, "dialects"), DIALECTS)
    print(json.dumps(told), json.dumps(spoken), sep="\n")
    return int(any(is_wrong(one) for one in (told, spoken)))


def is_wrong(told: dict[str, float]) -> bool:
    """Whether anything was paid twice that need not have been, or never answered."""
    wrong = told["late"] + told["durable_and_asked_again"] + told["missing"]
    return told["paid_twice"] > told["in_flight_at_kills"] or wrong > 0


def run(kills: int, seed: int, folder: Path, dialect: Sequence[str] = ()) -> dict[str, float]:
    """Kill a run `kills` times, finish it, and compare what was asked again with what could not be known. `dialect`:
    further words for the endpoint's command line."""
    folder.mkdir(exist_ok=True)
    draw = random.Random(seed)
    rows = 40 * kills
    server = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "tests/support/endpoint.py"), "--latency-ms", "50", *dialect],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout
        url = server.stdout.readline().strip()
        deaths = [kill_one(url, folder, rows, draw) for _ in range(kills)]
        subprocess.run([sys.executable, "-c", PROGRAM, url, str(folder), str(rows)], check=True)
        return count(timeline(url), deaths, rows, read_notes(folder / NOTES))
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


def count(
    rows: list[tuple[str, float, float]],
    deaths: list[tuple[float, int]],
    asked: int,
    notes: dict[str, dict[str, list[float]]],
) -> dict[str, float]:
    """`paid_twice`: answers beyond one a request; `late`: requests that were asked again although a run had received
    their answer 20 ms or more before it was killed; `durable_and_asked_again`: although it was on disk;
    `slowest_ms`: from an answer's receipt until it is on disk; `missing`: requests without an answer."""
    answers = Counter(name for name, _, left in rows if left)
    last = {name: arrived for name, arrived, _ in rows}
    in_flight = sum(left >= death - SETTLED_S for death, had in deaths for _, _, left in rows[:had])
    kills = [death for death, _ in deaths]
    late = sum(
        any(received + SETTLED_S <= death < last[name] for death in kills)
        for name, times in notes["received"].items()
        for received in times[:1]
    )
    durable = sum(last[name] > times[0] for name, times in notes["durable"].items())
    slowest = max(
        done - max(received for received in notes["received"][name] if received <= done)
        for name, times in notes["durable"].items()
        for done in times
    )
    return {
        "kills": len(deaths),
        "requests": asked,
        "in_flight_at_kills": in_flight,
        "paid_twice": sum(answers.values()) - len(answers),
        "late": late,
        "durable_and_asked_again": durable,
        "slowest_ms": round(1000 * slowest, 1),
        "missing": max(0, asked - len(answers)),  # refused rows are asked again, in other words
    }


def read_notes(path: Path) -> dict[str, dict[str, list[float]]]:
    """What the runs noted, by kind and request: when, by this machine's monotonic clock."""
    notes: dict[str, dict[str, list[float]]] = {"received": defaultdict(list), "durable": defaultdict(list)}
    for line in path.read_text().splitlines():
        kind, name, when = line.split()
        notes[kind][name].append(float(when))
    return notes


def timeline(url: str) -> list[tuple[str, float, float]]:
    """Every request: its identity, when it arrived, when its answer left (0.0: not yet)."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/timeline") as response:
        return [tuple(row) for row in json.load(response)]


def work(url: str, folder: str, rows: int) -> None:
    """A worker: ask everything, and note what was received and what is on disk; a kill loses no note."""
    from asking import ask_all, asks, settings
    from endpoint import identity

    from stages.lib.teacher.endpoint import Endpoint
    from stages.lib.teacher.journal import Journal

    notes = os.open(Path(folder, NOTES), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    send, put = Endpoint.send, Journal.put

    async def noted_send(self: Endpoint, request: "Request") -> "Reply":
        reply = await send(self, request)
        os.write(notes, f"received {identity(request.sent)} {time.monotonic()}\n".encode())
        return reply

    async def noted_put(self: Journal, request: "Request", reply: "Reply", label: str, cost: float) -> None:
        await put(self, request, reply, label, cost)
        os.write(notes, f"durable {identity(request.sent)} {time.monotonic()}\n".encode())

    Endpoint.send, Journal.put = noted_send, noted_put  # type: ignore[method-assign]
    unsampled = {"temperature": None, "top_p": None} if Path(folder).name == "dialects" else {}
    knobs = settings(url, concurrency=IN_FLIGHT, patience_s=60.0, timeout_s=60.0, max_reasks=3, **unsampled)
    given = ask_all(knobs, asks(rows), Path(folder))
    assert len(given) == rows
    assert all(answer.value or answer.attempts for answer in given), "delivered, or dead with its attempts"
    assert unsampled or all(answer.value for answer in given)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
