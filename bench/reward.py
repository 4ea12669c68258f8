"""Programs a second of the reward for GRPO (`tidemill.Reward`): batches of completions as TRL hands them over, with
isolation and the control run, on two workers.

Half of the programs pass. All differ, because equal ones of a batch are run once. The walls are built before the first
batch is timed, as they are once in a training run; `cpu_seconds` (root, cgroup v1) are those of all processes.

Run: make bench BENCH=reward ARGS="[BATCHES [BATCH]]"
Writes bench/results/reward.json.
"""

import json
import os
import platform
import sys
import time
from pathlib import Path
from statistics import median

import tidemill
from bench.score import account, cpu_seconds
from stages.lib import sandbox

WORKERS = 2
FORMS = [  # a program and a test that it passes
    (
        "def f(values):\n    return sorted(set(values))[:{n}]",
        "assert candidate([3, 1, 3, {n}]) == sorted({{3, 1, {n}}})[:{n}]",
    ),
    ("def f(text):\n    return text.upper() * {n}", "assert candidate('ab{n}') == 'AB{n}' * {n}"),
    (
        "def f(n):\n    return sum(i * i for i in range(n + {n}))",
        "assert candidate(9) == sum(i * i for i in range(9 + {n}))",
    ),
    ("def f(pairs):\n    return {{k: v + {n} for k, v in pairs}}", "assert candidate([('a', 1)]) == {{'a': 1 + {n}}}"),
]
WRONG = "assert candidate(None) == {n}"  # what no program here returns


def main(batches: int = 8, size: int = 64) -> None:
    """Measure, print and write."""
    account()
    reward = tidemill.Reward(workers=WORKERS)
    judge(reward, 0, 8)
    rounds = [judge(reward, number, size) for number in range(1, batches + 1)]
    reward.close()
    rates = {name: round(size / median(one[name] for one in rounds), 1) for name in rounds[0] if rounds[0][name]}
    report = {
        "programs a second": rates["seconds"],
        "programs a CPU second": rates.get("cpu_seconds"),
        "batches": batches,
        "programs a batch": size,
        "workers": WORKERS,
        "isolation": sandbox.isolation(),
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg(), "kernel": platform.release()},
    }
    Path("bench/results/reward.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def judge(reward: tidemill.Reward, number: int, size: int) -> dict[str, float]:
    """The seconds that one batch takes, on the clock and of all CPUs."""
    completions, tests = [], []
    for at in range(size):
        code, test = FORMS[at % len(FORMS)]
        n = 2 + number * size + at
        completions.append(f"```python\n{code.format(n=n)}\n```")
        tests.append([test.format(n=n), *([WRONG.format(n=n)] if at % 8 >= 4 else [])])
    started, used = time.monotonic(), cpu_seconds()
    values = reward(completions, tests, ["Python"] * size, ["f"] * size)
    seconds = {"seconds": time.monotonic() - started, "cpu_seconds": cpu_seconds() - used}
    assert sum(values) == size / 2, values
    return seconds


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
