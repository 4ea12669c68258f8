"""The coreset chosen part by part beside one exact choice: covering radius, lower bound, CPU seconds.

    make bench BENCH=kcenter_parts     # writes bench/results/kcenter_parts.json; data/embeddings too, if it is there

The mixture: 100,000 x 384 float16, 500 clusters; k = 1,000.
"""

import json
import os
import platform
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

from stages.lib.kcenter import k_center_greedy, pieces  # noqa: E402

RESULTS = ROOT / "bench/results/kcenter_parts.json"
EMBEDDINGS = ROOT / "data/embeddings/embeddings.npy"
HOW: dict[str, Any] = {"normalize": False, "device": "cpu", "threads": 1}
PARTS = (4, 16, 64)


def main() -> None:
    """Compare on the mixture and on the workspace's embeddings."""
    found = {"mixture, 100,000 x 384, k = 1,000": compare(mixture(), 1000)}
    if EMBEDDINGS.is_file():
        rows = np.load(EMBEDDINGS)
        found[f"data/embeddings, {len(rows):,} x {rows.shape[1]}, k = 160"] = compare(rows, min(160, len(rows)))
    machine = {"python": platform.python_version(), "numpy": np.__version__, "processor": platform.processor()}
    RESULTS.write_text(json.dumps({"machine": machine, "results": found}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


def mixture() -> np.ndarray:
    """float16 (100,000, 384) about 500 centres."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((500, 384))
    return (centres[rng.integers(0, 500, 100_000)] + 0.5 * rng.standard_normal((100_000, 384))).astype(np.float16)


def compare(rows: np.ndarray, k: int) -> dict[str, dict[str, float]]:
    """The figures of the exact choice and of each number of parts."""
    k_center_greedy(rows[:1000], 2, **HOW)  # compiled before anything is timed
    began = time.process_time()
    exact = k_center_greedy(rows, k, **HOW)
    found = {"exact": row(exact.radii[-1], exact.bound(k), began, exact.radii[-1])}
    for count in PARTS:
        with TemporaryDirectory() as folder:
            began, divided = time.process_time(), pieces.cut(len(rows), k, count)
            pieces.pick(rows, divided, range(len(divided)), Path(folder), first="mean", seed=0, **HOW)
            chosen = pieces.compose(rows, divided, Path(folder), k, 0.0, first="mean", seed=0, **HOW)
            found[f"{len(divided)} parts"] = row(chosen.radii[-1], chosen.bound(k), began, exact.radii[-1])
    return found


def row(radius: float, bound: float | None, began: float, exact: float) -> dict[str, float]:
    """One choice's figures, with its radius as a multiple of the `exact` one's."""
    seconds = time.process_time() - began
    figures = {"radius": radius, "optimum_at_least": bound or 0.0, "to_exact": radius / exact, "cpu_s": seconds}
    return {name: round(float(value), 4) for name, value in figures.items()}


if __name__ == "__main__":
    main()
