"""The coreset selection on a CPU against its peers, in CPU seconds of one run.

    python bench/kcenter.py                  the table of docs/coreset.md; writes bench/results/kcenter.json
    python bench/kcenter.py --large [ROWS K] ours alone on ROWS x 1,024 float16 from disk (1,200,000 and 20,000)

The peers: the reference (google/active-learning's kCenterGreedy, which WaveCoder copied, on scikit-learn's
pairwise_distances), a float32 running minimum in NumPy, the same in torch. Their cost per centre is constant, so on
the larger cases they run their first centres only and are scaled up; the JSON says how many. All start from row 0.
"sequence" counts the centres that a peer chose as we did: the reference must agree on all of them, float32 need not.
"""

import argparse
import json
import logging
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]
# OpenBLAS and torch spin while they wait: with one thread a CPU second is a second of work, for every peer.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import embeddings  # noqa: E402
import numba  # noqa: E402
import numpy as np  # noqa: E402
import sklearn  # noqa: E402
import torch  # noqa: E402
from sklearn.metrics import pairwise_distances  # noqa: E402

from stages.lib.kcenter import k_center_greedy  # noqa: E402

RESULTS = ROOT / "bench/results/kcenter.json"
SEED = 0
ROUNDS = 9


def reference(rows: np.ndarray, k: int) -> list[int]:
    """kCenterGreedy.select_batch_ of google/active-learning, from row 0."""
    chosen = [0]
    nearest = pairwise_distances(rows, rows[[0]], metric="euclidean").min(axis=1).reshape(-1, 1)
    for _ in range(k - 1):
        ind = int(np.argmax(nearest))
        chosen.append(ind)
        nearest = np.minimum(nearest, pairwise_distances(rows, rows[[ind]], metric="euclidean"))
    return chosen


def numpy_peer(rows: np.ndarray, k: int) -> list[int]:
    """A running minimum in float32: one product of all rows with the last centre for each."""
    squares = np.einsum("ij,ij->i", rows, rows)
    chosen, nearest = [0], np.full(len(rows), np.inf, dtype=np.float32)
    for _ in range(k - 1):
        last = chosen[-1]
        np.minimum(nearest, squares + squares[last] - 2 * (rows @ rows[last]), out=nearest)
        chosen.append(int(nearest.argmax()))
    return chosen


def torch_peer(rows: np.ndarray, k: int) -> list[int]:
    """The same in torch."""
    points = torch.from_numpy(rows)
    squares = (points * points).sum(1)
    chosen, nearest = [0], torch.full((len(rows),), torch.inf)
    for _ in range(k - 1):
        last = chosen[-1]
        nearest = torch.minimum(nearest, squares + squares[last] - 2 * (points @ points[last]))
        chosen.append(int(nearest.argmax()))
    return chosen


def ours(rows: np.ndarray, k: int) -> list[int]:
    """The door of stages/lib/kcenter, from row 0 as the reference."""
    return [0, *k_center_greedy(rows, k - 1, first=[0], device="cpu").indices.tolist()]


def mixture(count: int, dimension: int, clusters: int = 2000) -> np.ndarray:
    """Rows of length 1 around cluster centres, cluster sizes falling by a power law: float32 (count, dimension)."""
    rng = np.random.default_rng(SEED)
    weights = 1 / np.arange(1, clusters + 1)
    centres = rng.standard_normal((clusters, dimension), dtype=np.float32)
    rows = centres[rng.choice(clusters, count, p=weights / weights.sum())]
    rows += 0.7 * rng.standard_normal((count, dimension), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def timed(select: Callable[[np.ndarray, int], list[int]], rows: np.ndarray, k: int) -> tuple[float, list[int]]:
    """CPU seconds of all threads, and what was chosen."""
    started = time.process_time()
    chosen = select(rows, k)
    return time.process_time() - started, chosen


def compare(name: str, rows: np.ndarray, k: int, centres: dict[str, int], goals: dict[str, float]) -> dict[str, Any]:
    """Ours beside each peer, which runs its first `centres` and is scaled to `k`: the medians of rounds in which all
    take their turns, because what else the machine does comes and goes."""
    peers = {"reference": reference, "numpy": numpy_peer, "torch": torch_peer}
    parts = {"ours": k} | {peer: min(centres[peer], k) for peer in peers}
    rounds = [
        {who: timed(run, rows, parts[who]) for who, run in {"ours": ours, **peers}.items()} for _ in range(ROUNDS)
    ]
    seconds = {who: median(one[who][0] for one in rounds) * k / part for who, part in parts.items()}
    chosen = rounds[0]["ours"][1]
    result: dict[str, Any] = {
        "data": name,
        "rows": len(rows),
        "dimension": rows.shape[1],
        "k": k,
        "ours": {
            "cpu_seconds": round(seconds["ours"], 3),
            "all": [round(one["ours"][0], 3) for one in rounds],
        },
    }
    print(f"{name}: {len(rows):,} x {rows.shape[1]}, k = {k}\n  ours        {seconds['ours']:8.2f} s")
    for peer in peers:
        part, sequence = parts[peer], rounds[0][peer][1]
        same = next((i for i, (a, b) in enumerate(zip(sequence, chosen, strict=False)) if a != b), part)
        ratio = seconds[peer] / seconds["ours"]
        result[peer] = {
            "cpu_seconds": round(seconds[peer], 2),
            "centres_run": part,
            "same_sequence_for": same,
            "ratio": round(ratio, 1),
        }
        goal = f", goal {goals[peer]:.0f}" if peer in goals else ""
        told = f"{ratio:6.1f} times ours{goal}; {part} run, sequence the same for {same}"
        print(f"  {peer:10} {seconds[peer]:9.2f} s, {told}")
    return result


def large(count: int, k: int) -> None:
    """Ours alone, on a float16 memory map, with its progress lines and the memory it took."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    path = ROOT / f".tidemill/bench/mixture-{count}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        rng = np.random.default_rng(SEED)
        centres = rng.standard_normal((2000, 1024), dtype=np.float32)
        weights = 1 / np.arange(1, 2001)
        out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(count, 1024))
        for start in range(0, count, 20_000):
            size = min(20_000, count - start)
            part = centres[rng.choice(2000, size, p=weights / weights.sum())]
            part += 0.7 * rng.standard_normal((size, 1024), dtype=np.float32)
            out[start : start + size] = part / np.linalg.norm(part, axis=1, keepdims=True)
        out.flush()
    rows = np.load(path, mmap_mode="r")
    started, wall = time.process_time(), time.monotonic()
    chosen = k_center_greedy(rows, k, device="cpu", threads=os.cpu_count() or 1)
    result = {
        "rows": count,
        "k": len(chosen.indices),
        "cpu_seconds": round(time.process_time() - started),
        "seconds": round(time.monotonic() - wall),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "radius": float(chosen.radii[-1]),
    }
    print(json.dumps(result))


def main() -> None:
    """Compare on a mixture and on real embeddings, and write the results; or run the large case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", nargs="*", type=int, metavar="N")
    chosen = parser.parse_args()
    if chosen.large is not None:
        return large(*(chosen.large or (1_200_000, 20_000)))
    ours(mixture(2000, 64), 100)  # numba compiles
    few = {"reference": 40, "numpy": 100, "torch": 100}
    real = embeddings.load(100_000).astype(np.float32)
    cases = [compare("mixture", mixture(100_000, 1024), 1000, few, {"reference": 80, "numpy": 10})]
    cases += [compare("MiniLM", real, 1000, few, {"reference": 120})]
    cases += [compare("MiniLM", real[:20_000], 1000, dict.fromkeys(few, 1000), {"reference": 90})]
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cpu": _cpu(), "cores": os.cpu_count(), "threads": 1, "python": platform.python_version()}
    versions = {module.__name__: module.__version__ for module in (np, numba, sklearn, torch)}
    report = {"machine": machine, "versions": versions, "seed": SEED, "unit": "CPU seconds", "cases": cases}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    return None


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
