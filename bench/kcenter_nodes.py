"""One exact choice in 1, 2 and 4 processes, as on as many nodes: memory, CPU seconds, and what they tell one another.

    make bench BENCH=kcenter_nodes [ARGS="ROWS K"]     # 1,000,000 and 2,000; writes bench/results/kcenter_nodes.json

The rows are the mixture of bench/kcenter_parts.py, ROWS x 384 float16, memory-mapped from a file. All processes run on
this machine, so wall time says little; a process's own memory and CPU seconds are those of a node.
"""

import json
import os
import pickle
import platform
import subprocess
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

from stages.lib import processes  # noqa: E402
from stages.lib.artifacts import digest  # noqa: E402
from stages.lib.kcenter import k_center_greedy, split_rows  # noqa: E402

RESULTS = ROOT / "bench/results/kcenter_nodes.json"
NODES = (1, 2, 4)
HOW: dict[str, Any] = {"normalize": False, "device": "cpu", "threads": 1}


def main(words: list[str]) -> None:
    """Run all numbers of processes one after the other, and compare what they chose."""
    count, k = (int(word) for word in words) if words else (1_000_000, 2000)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rows.npy"
        write_mixture(file, count)
        found = {f"{size} processes": run(file, k, size) for size in NODES}
    assert len({figures.pop("chosen") for figures in found.values()}) == 1, "all choose the same rows"
    machine = {"python": platform.python_version(), "numpy": np.__version__, "cores": os.cpu_count()}
    size = {"rows": count, "dimension": 384, "k": k, "file_mb": count * 768 // 10**6}
    RESULTS.write_text(json.dumps({"machine": machine, "size": size, "results": found}, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def write_mixture(file: Path, count: int) -> None:
    """float16 (count, 384) about 500 centres, written by and by."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((500, 384), dtype=np.float32)
    rows = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=(count, 384))
    for start in range(0, count, 50_000):
        part = rows[start : start + 50_000]
        part[:] = centres[rng.integers(0, 500, len(part))] + 0.5 * rng.standard_normal(part.shape, dtype=np.float32)


def run(file: Path, k: int, size: int) -> dict[str, Any]:
    """The figures of `size` processes: of the largest and the busiest one, and of what one tells the others."""
    place = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(processes._free_port())}
    command = [sys.executable, __file__, "--process", str(file), str(k)]
    started = [
        subprocess.Popen(command, env={**os.environ, **place, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(size)
    ]
    told = [json.loads(one.communicate()[0]) for one in started]
    assert len({one["chosen"] for one in told}) == 1
    return {name: max(one[name] for one in told) for name in told[0]}


def process(file: Path, k: int) -> None:
    """One process: its part of the rows, and its figures as a line of JSON."""
    rows, sent = np.load(file, mmap_mode="r"), 0
    with processes.together() as world:
        if world.group:
            import torch.distributed

            gather = torch.distributed.all_gather_object

            def counted(values: list[Any], value: Any, group: Any) -> None:
                nonlocal sent
                sent += len(pickle.dumps(value))
                gather(values, value, group=group)

            torch.distributed.all_gather_object = counted
        k_center_greedy(np.eye(300, 384, dtype=np.float16), 2, **HOW)  # compiled before anything is timed
        before, began, busy = peak(), time.monotonic(), time.process_time()
        part = rows[split_rows(len(rows), world.size)[world.rank]]
        chosen = k_center_greedy(part, k, group=world.group, **HOW)
        figures = {"cpu_s": time.process_time() - busy, "wall_s": time.monotonic() - began}
    figures |= {"peak_mb": peak(), "peak_before_mb": before, "told_mb": sent / 1e6}
    rounded = {name: round(value, 1) for name, value in figures.items()}
    print(json.dumps({**rounded, "chosen": digest([chosen.indices.tolist(), chosen.radii.tolist()])}))


def peak() -> float:
    """The most memory that this process has had, in MB, the file's pages that it has read included. (getrusage would
    begin with that of the process that started it.)"""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    if sys.argv[1:2] == ["--process"]:
        process(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(sys.argv[1:])
