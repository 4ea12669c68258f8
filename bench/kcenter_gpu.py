"""The coreset selection on a GPU against the straightforward one pass for each centre, both in CuPy.

    python bench/kcenter_gpu.py [ROWS K]     1,200,000 and 20,000 by default; writes bench/results/kcenter_gpu.json

float16 rows of length 1, d = 1,024, from a seeded mixture with power-law cluster sizes. First, on 20,000 rows, ours
on the GPU must give the sequence and the radii of ours on the CPU, and the naive method (float32) its sequence for
as long as float32 tells the rows apart; the run fails otherwise. Then both are timed on the whole: ours to the end,
with the rows resident, the upload apart; the naive method over its first 200 centres, scaled up.
"""

import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from stages.lib.kcenter import gpu, greedy, k_center_greedy  # noqa: E402

RESULTS = ROOT / "bench/results/kcenter_gpu.json"
SEED, DIMENSION, CLUSTERS, PEER_CENTRES = 0, 1024, 2000, 200


def mixture(count: int) -> np.ndarray:
    """Float16 rows (count, 1024) of length 1."""
    import cupy as cp

    rng = np.random.default_rng(SEED)
    weights = 1 / np.arange(1, CLUSTERS + 1)
    member = rng.choice(CLUSTERS, count, p=weights / weights.sum())
    centres = cp.asarray(rng.standard_normal((CLUSTERS, DIMENSION), dtype=np.float32))
    noise = cp.random.default_rng(SEED)
    rows = np.empty((count, DIMENSION), dtype=np.float16)
    for start in range(0, count, 50_000):
        some = centres[cp.asarray(member[start : start + 50_000])]
        some += 0.7 * noise.standard_normal(some.shape, dtype=np.float32)
        some /= cp.linalg.norm(some, axis=1, keepdims=True)
        rows[start : start + len(some)] = cp.asnumpy(some.astype(np.float16))
    return rows


def naive(rows: Any, first: int, k: int) -> list[int]:
    """One sweep over the float16 rows on the device for each centre, a running minimum in float32."""
    import cupy as cp

    sweep = cp.RawKernel(
        r"""
        #include <cuda_fp16.h>
        extern "C" __global__ void sweep(const __half2* rows, long long count, int pairs, long long pick,
                                         float* nearest)
        {
            long long row = (blockIdx.x * (long long)blockDim.x + threadIdx.x) / 32;
            if (row >= count) return;
            float total = 0;
            for (int i = threadIdx.x % 32; i < pairs; i += 32) {
                float2 x = __half22float2(rows[row * pairs + i]), y = __half22float2(rows[pick * pairs + i]);
                total += (x.x - y.x) * (x.x - y.x) + (x.y - y.y) * (x.y - y.y);
            }
            for (int step = 16; step; step /= 2) total += __shfl_xor_sync(~0u, total, step);
            if (threadIdx.x % 32 == 0) nearest[row] = fminf(nearest[row], total);
        }""",
        "sweep",
    )
    count, dimension = rows.shape
    nearest = cp.full(count, cp.inf, dtype=cp.float32)
    chosen = [first]
    for _ in range(k - 1):
        arguments = (rows, np.int64(count), np.int32(dimension // 2), np.int64(chosen[-1]), nearest)
        sweep((-(-count // 8),), (256,), arguments)
        chosen.append(int(nearest.argmax()))
    return chosen


def check() -> dict[str, Any]:
    """Ours on the GPU against ours on the CPU and against the naive method, on 20,000 rows."""
    import cupy as cp

    rows = mixture(20_000)
    here, there = k_center_greedy(rows, 1000, device="gpu"), k_center_greedy(rows, 1000, device="cpu")
    if here.indices.tolist() != there.indices.tolist() or here.radii.tolist() != there.radii.tolist():
        raise SystemExit("the GPU's selection is not the CPU's")
    peer = naive(cp.asarray(rows), int(here.indices[0]), 1000)
    same = next((i for i, (a, b) in enumerate(zip(peer, here.indices.tolist(), strict=True)) if a != b), 1000)
    if same < 1000:
        row = rows[[peer[same], int(here.indices[same])]].astype(float)
        centres = rows[here.indices[:same]].astype(float)
        one, other = (np.linalg.norm(centres - vector, axis=1).min() for vector in row)
        if other < one or other - one > 1e-5:
            raise SystemExit(f"centre {same} of the naive method is another, and not within float32's error")
    return {"rows": 20_000, "k": 1000, "same_as_cpu": True, "same_as_naive_for": same}


def main() -> None:
    """Check, measure, write."""
    if not gpu.available():
        raise SystemExit("no GPU that cupy can use is here: bench/results/kcenter_gpu.json stays owed")
    import cupy as cp

    count, k = (int(word) for word in sys.argv[1:3]) if len(sys.argv) > 2 else (1_200_000, 20_000)
    checked = check()
    rows = mixture(count)
    pool = cp.get_default_memory_pool()
    pool.free_all_blocks()
    uploaded: list[float] = []
    load = gpu.load

    def timed_load(*arguments: Any) -> gpu.Rows:
        started = time.perf_counter()
        loaded = load(*arguments)
        cp.cuda.Device().synchronize()
        uploaded.append(time.perf_counter() - started)
        return loaded

    gpu.load = timed_load  # type: ignore[assignment]
    started = time.perf_counter()
    chosen = k_center_greedy(rows, k, device="gpu")
    seconds = time.perf_counter() - started - uploaded[0]
    held = pool.total_bytes() / rows.nbytes
    pool.free_all_blocks()
    here = cp.asarray(rows)
    naive(here, int(chosen.indices[0]), 5)
    started = time.perf_counter()
    naive(here, int(chosen.indices[0]), PEER_CENTRES)
    peer = (time.perf_counter() - started) * k / PEER_CENTRES
    report = {
        "machine": {
            "gpu": cp.cuda.runtime.getDeviceProperties(0)["name"].decode(),
            "python": platform.python_version(),
        },
        "versions": {"cupy": cp.__version__, "cuda": cp.cuda.runtime.runtimeGetVersion(), "numpy": np.__version__},
        "seed": SEED,
        "rows": count,
        "dimension": DIMENSION,
        "k": len(chosen.indices),
        "batch_rows": greedy.BATCH_ROWS,
        "upload_seconds": round(uploaded[0], 2),
        "ours_seconds": round(seconds, 2),
        "naive_seconds": round(peer, 2),
        "naive_centres_run": PEER_CENTRES,
        "ratio": round(peer / seconds, 1),
        "goal_seconds": 2.0,
        "memory_over_embeddings": round(held, 3),
        "radius": float(chosen.radii[-1]),
        "check": checked,
    }
    print(json.dumps(report, indent=1))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
