"""CPU, speed and memory of the teacher's client beside bespokelabs-curator and the bare openai SDK, in one run.

    make bench BENCH=teacher

The endpoint is tests/support/endpoint.py in a process of its own, with a latency of 50 ms; each client runs in a
process of its own too, and its CPU seconds and peak memory are what the kernel counted for it (getrusage). The teacher
asks for JSON under a schema, checks it, hashes, journals and syncs; the peers ask the same prompts for text.
curator lives in .tidemill/bench/curator, made here. Writes bench/results/teacher.json.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

from bench import peers  # noqa: E402
from executors.runner import LIBRARIES  # noqa: E402

RESULT = ROOT / "bench" / "results" / "teacher.json"
CURATOR_VERSION = "0.1.31"
LATENCY_MS = 50
IN_FLIGHT = 256
PROMPT = "Explain this function.\n" + "    total = total + value * 31 % 65537\n" * 38  # 1.5 KB
CHANGES = {"concurrency": IN_FLIGHT, "timeout_s": 60.0, "patience_s": 60.0, "max_attempts": 8, "max_reasks": 2}
TURNS = 2
SOME = 20_000  # requests of the runs with faults, long enough for the pauses of the last rows not to be all
FAULTS = {"429": 0.6, "500": 0.8, "broken": 0.8}  # 5% of each; the least share of the undisturbed speed


def main() -> None:
    """Measure everything and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="of the long run")
    parser.add_argument("--replays", type=int, default=1_000_000, help="of the run that the journal answers; 0: none")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--journal", help=argparse.SUPPRESS)
    parser.add_argument("--set", default="{}", help=argparse.SUPPRESS)
    knobs = parser.parse_args()
    if knobs.client:
        os.environ.update(LIBRARIES)  # as in a stage
        result = {"teacher": ask, "sdk": ask_sdk, "fill": fill}[knobs.client](knobs)
        print(json.dumps({**result, **used()}))
        return
    measured = measure(knobs)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(measured, indent=1) + "\n")
    print(json.dumps(measured, indent=1))


def measure(knobs: argparse.Namespace) -> dict[str, Any]:
    """All figures, printed as they come."""
    curator = peers.python("curator", f"bespokelabs-curator=={CURATOR_VERSION}")
    few, many = 2_000, knobs.requests
    with endpoint() as url:
        peer = run([curator, ROOT / "bench" / "teacher_curator.py", url, str(few)], few)
        say(f"curator {CURATOR_VERSION}, {few} requests", peer)
        sdk = ours(url, "sdk", few)
        say(f"bare openai SDK {version('openai')}, {few} requests", sdk)
        small = ours(url, "teacher", few)
        say(f"teacher, {few} requests", small)
        large = ours(url, "teacher", many)
        say(f"teacher, {many} requests", large)
    faulty = with_faults()
    replayed = {}
    if knobs.replays:
        replayed = {"requests": knobs.replays, **replay(knobs.replays)}
        say(f"teacher, {knobs.replays} requests answered by the journal", replayed)
    return {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "latency_ms": LATENCY_MS,
        "in_flight": IN_FLIGHT,
        "prompt_bytes": len(PROMPT),
        "requests": many,
        "cpu_ms_per_request": large["cpu_ms_per_request"],
        "requests_per_s": large["requests_per_s"],
        "peak_rss_mb": large["peak_rss_mb"],
        f"teacher_{few}": small,
        "curator": {"version": CURATOR_VERSION, "requests": few, **peer},
        "openai_sdk": {"version": version("openai"), "requests": few, **sdk},
        "times_less_cpu_than_curator": round(peer["cpu_ms_per_request"] / small["cpu_ms_per_request"], 1),
        "faults": faulty,
        "token_bucket": token_bucket(),
        "replay": replayed,
    }


def with_faults() -> dict[str, dict[str, Any]]:
    """The speed under 5% random faults of each kind, as a share of the speed without them: runs in turns, because
    other work on the machine comes and goes, and the best of each."""
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in ("none", *FAULTS)}
    for _ in range(TURNS):
        for kind, done in runs.items():
            with endpoint("--faults", f"{kind}:0.05" if kind in FAULTS else "") as url:
                done.append(ours(url, "teacher", SOME))
    best = {kind: max(done, key=lambda result: result["requests_per_s"]) for kind, done in runs.items()}
    found = {}
    for kind, goal in FAULTS.items():
        share = best[kind]["requests_per_s"] / best["none"]["requests_per_s"]
        say(f"5% {kind}: {share:.2f} of the undisturbed speed (goal {goal})", best[kind])
        found[kind] = {**best[kind], "share_of_undisturbed_speed": round(share, 3)}
    return found


def token_bucket(seconds: float = 20.0, per_minute: int = 6000) -> dict[str, float]:
    """How much of a true token bucket's allowance is used, and how much is refused."""
    count = int(per_minute / 60 * seconds)
    with endpoint("--requests-per-minute", str(per_minute)) as url:
        result = ours(url, "teacher", count, requests_per_minute=per_minute, concurrency=64)
        told = ledger(url)
    allowed = per_minute / 60 * result["seconds"]
    used_share, refused = told["answered"] / allowed, told["refused"] / told["asked"]
    print(f"token bucket of {per_minute} a minute: {used_share:.1%} used, {refused:.2%} refused", flush=True)
    return {"used_share": round(used_share, 4), "refused_share": round(refused, 4)}


@contextmanager
def endpoint(*options: str) -> Iterator[str]:
    """The stand-in endpoint in a process of its own; its URL."""
    command = [sys.executable, str(ROOT / "tests/support/endpoint.py"), "--latency-ms", str(LATENCY_MS), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def ledger(url: str) -> dict[str, Any]:
    """What the endpoint at `url` was asked."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/ledger") as response:
        return dict(json.load(response))


def ours(url: str, client: str, count: int, **changes: Any) -> dict[str, float]:
    """Run one of our own clients on a journal of its own; `changes` are teacher settings."""
    with tempfile.TemporaryDirectory(dir=ROOT / ".tidemill" / "bench") as folder:
        return run(client_command(client, url, count, folder, changes), count)


def replay(count: int) -> dict[str, float]:
    """Ask what a full journal answers: nothing is sent, and the memory must stay flat."""
    url = "http://127.0.0.1:9/v1"
    with tempfile.TemporaryDirectory(dir=ROOT / ".tidemill" / "bench") as folder:
        run(client_command("fill", url, count, folder, {}), count)
        return run(client_command("teacher", url, count, folder, {}), count)


def client_command(client: str, url: str, count: int, folder: str, changes: dict[str, Any]) -> list[str]:
    """The command line of one of our own clients."""
    arguments = ["--client", client, "--url", url, "--requests", str(count), "--journal", folder]
    return [sys.executable, __file__, *arguments, "--set", json.dumps(changes)]


def run(command: list[Any], count: int) -> dict[str, float]:
    """The figures that `command` prints as its last line, per request."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return {
        "cpu_ms_per_request": round(1000 * told["cpu_s"] / count, 3),
        "requests_per_s": round(count / told["seconds"], 1),
        "peak_rss_mb": round(told["peak_rss_mb"], 1),
        "seconds": round(told["seconds"], 2),
        **({"dead_letters": told["dead"]} if "dead" in told else {}),
    }


def say(what: str, figures: dict[str, float]) -> None:
    """Print the three figures in a line."""
    cpu, speed, memory = (figures[key] for key in ("cpu_ms_per_request", "requests_per_s", "peak_rss_mb"))
    print(f"{what}: {cpu:.3f} ms CPU a request, {speed:.0f} requests/s, {memory:.0f} MB at most", flush=True)


def used() -> dict[str, float]:
    """Peak memory of this process, MB."""
    return {"peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def ask(knobs: argparse.Namespace) -> dict[str, float]:
    """Ask the endpoint through the teacher, with ledger, journal and sync."""
    from asking import settings

    from stages.lib import teacher

    changes = {**CHANGES, **json.loads(knobs.set)}
    folder = Path(knobs.journal)
    with (
        teacher.connect(settings(knobs.url, **changes), label="bench", seed=1, journal=folder) as model,
        model.ledger(folder) as book,
    ):
        began, cpu = time.monotonic(), time.process_time()
        for answer in model.answers(list_asks(knobs.requests), total=knobs.requests):
            book.add(answer)
        told = book.metrics()
    assert told["asked"] == knobs.requests == told["answered"] + told["dead_letters"], told
    return {"seconds": time.monotonic() - began, "cpu_s": time.process_time() - cpu, "dead": told["dead_letters"]}


def fill(knobs: argparse.Namespace) -> dict[str, float]:
    """Fill a journal with an answer to everything that `replay` asks."""
    from asking import settings

    from stages.lib import teacher
    from stages.lib.teacher.exchange import Reply
    from stages.lib.teacher.journal import Journal

    async def put_all(model: teacher.Teacher) -> None:
        book, rows = Journal(Path(knobs.journal)), []
        for one in list_asks(knobs.requests):
            rows.append(book.put(model.request(one), Reply('{"instruction": "do it"}', "stop", 100, 20), "bench", 0.0))
            if len(rows) == 2000:
                await asyncio.gather(*rows)
                rows = []
        await asyncio.gather(*rows)
        book.close()

    knobs_, empty = settings(knobs.url, **CHANGES), Path(knobs.journal) / "empty"
    began, cpu = time.monotonic(), time.process_time()
    with teacher.connect(knobs_, label="bench", seed=1, journal=empty) as model:
        asyncio.run(put_all(model))
    return {"seconds": time.monotonic() - began, "cpu_s": time.process_time() - cpu}


def list_asks(count: int) -> Iterator[Any]:
    """`count` different questions of 1.5 KB."""
    from asking import SCHEMA

    from stages.lib import teacher

    for number in range(count):
        yield teacher.Ask(f"row {number}", [{"role": "user", "content": f"{number}\n{PROMPT}"}], SCHEMA)


def ask_sdk(knobs: argparse.Namespace) -> dict[str, float]:
    """Ask through the openai SDK alone: no hash, no journal, nothing checked."""
    import openai

    async def ask_all() -> None:
        transport = openai.DefaultAsyncHttpxClient(trust_env=False)
        client = openai.AsyncOpenAI(
            base_url=knobs.url, api_key="none", max_retries=0, timeout=600, http_client=transport
        )
        slots = asyncio.Semaphore(IN_FLIGHT)

        async def one(number: int) -> None:
            async with slots:
                messages: Any = [{"role": "user", "content": f"{number}\n{PROMPT}"}]
                await client.chat.completions.create(model="stand-in", messages=messages, temperature=0.5, seed=number)

        await asyncio.gather(*(one(number) for number in range(knobs.requests)))
        await client.close()

    began, cpu = time.monotonic(), time.process_time()
    asyncio.run(ask_all())
    return {"seconds": time.monotonic() - began, "cpu_s": time.process_time() - cpu}


if __name__ == "__main__":
    main()
