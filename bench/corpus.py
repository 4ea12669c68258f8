"""collect, filter and coreset on many functions, and the near-duplicate step beside its peers, in CPU seconds.

    .venv/bin/python -m bench.corpus [--rows 200000 400000] [--picks 20000] [--pairs 50000] [--families 4000 64000]

The functions are those of data/functions (`dvc repro collect` first), enlarged to so many rows: each copy has half of
its names changed, a tenth of the rows come twice exactly, and a tenth with one to three tokens changed; all drawn with
one seed. They are written as CodeSearchNet's files, from which `stages/run collect` and `filter` run with the
default rules, but for self_contained, which would drop most of them. `coreset` chooses among all of them, by random
vectors of 384 numbers, which have no clusters that could make it quick. The memory of a stage is the most that its
processes held at once, looked up five times a second. The peers of the near-duplicate step get the same
texts, shingles, threshold and bands: datasketch with exact comparison in Python (what this project had before),
rensa's own LSH with the same comparison, and datatrove's own pipeline, which compares nothing and shingles words (in
.tidemill/bench/datatrove, made here). Writes bench/results/corpus.json.
"""

import argparse
import contextlib
import gzip
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import rensa
import xxhash
from datasketch import MinHash, MinHashLSH

REPOSITORY = Path(__file__).parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests/support")]

from bench import peers  # noqa: E402
from stages.lib import artifacts, records  # noqa: E402
from stages.lib.corpus import duplicates, sketches  # noqa: E402

RESULT = REPOSITORY / "bench/results/corpus.json"
DATATROVE = ("datatrove[processing]==0.10.1", "spacy==3.8.18", "orjson==3.13.0")
NAME = re.compile(r"\b[A-Za-z_]\w{3,}\b")
THRESHOLD, SHINGLE, PERMUTATIONS = 0.8, 5, 128
BANDS = sketches._bands(THRESHOLD, PERMUTATIONS)


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[200_000, 400_000])
    parser.add_argument("--picks", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=50_000)
    parser.add_argument("--families", type=int, nargs="*", default=[4_000, 16_000, 64_000])
    wish = parser.parse_args()
    functions = pq.read_table("data/functions/functions.parquet").to_pylist()
    duplicates.near_duplicates(["compiles the index"], THRESHOLD)
    result = {
        "near_duplicates": compare([row["code"] for row in enlarged(functions, wish.pairs)]),
        "families": [{"rows": size, "cpu_s": timed(ours, family(size))[0]} for size in wish.families],
        "stages": [stages(functions, rows, wish.picks) for rows in wish.rows],
        "load": os.getloadavg()[1],
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.release()},
    }
    RESULT.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(json.dumps(result, indent=1))


def enlarged(functions: list[dict[str, Any]], rows: int) -> Iterator[dict[str, Any]]:
    """`rows` functions made from real ones, always the same."""
    draw = random.Random(0)
    last = functions[0]
    for number in range(rows):
        kind = draw.random()
        if kind >= 0.2:
            source = functions[number % len(functions)]
            code, copy = source["code"], number // len(functions)
            last = {**source, "code": renamed(code, f"_{copy}", draw) if copy else code}
        elif kind < 0.1:
            places = list(NAME.finditer(last["code"]))
            code = last["code"]
            for place in sorted(
                draw.sample(places, min(len(places), draw.randint(1, 3))), key=lambda one: -one.start()
            ):
                code = f"{code[: place.start()]}edited{number}{code[place.end() :]}"
            yield {**last, "code": code, "path": f"{number}", "line": number}
            continue
        yield {**last, "path": f"{number}", "line": number}


def renamed(code: str, mark: str, draw: random.Random) -> str:
    """The code with `mark` at the end of half of its names."""
    chosen = {name for name in sorted(set(NAME.findall(code))) if draw.random() < 0.5}
    return NAME.sub(lambda found: found[0] + mark * (found[0] in chosen), code)


def family(members: int) -> list[str]:
    """Texts of 100 words of which any two share 79: a similarity of 0.64."""
    common = " ".join(f"c{word}" for word in range(79))
    return [common + "".join(f" m{member}w{word}" for word in range(21)) for member in range(members)]


def compare(texts: list[str]) -> dict[str, Any]:
    """Ours beside its peers on the same texts."""
    found = {}
    answers = {}
    for name, way in (("ours", ours), ("datasketch", with_datasketch), ("rensa", with_rensa)):
        seconds, answers[name] = timed(way, texts)
        dropped = sum(earlier is not None for earlier in answers[name])
        found[name] = {"cpu_s": seconds, "dropped": dropped}
        print(name, len(texts), found[name], file=sys.stderr, flush=True)
    found["datatrove"] = with_datatrove(texts)
    print("datatrove", len(texts), found["datatrove"], file=sys.stderr, flush=True)
    for name, answer in answers.items():
        found[name]["rows_unlike_ours"] = sum(one != other for one, other in zip(answer, answers["ours"], strict=True))
    return {"rows": len(texts), **found}


def ours(texts: list[str]) -> list[int | None]:
    """The filter's own."""
    return duplicates.near_duplicates(texts, THRESHOLD, SHINGLE, PERMUTATIONS)


def with_datasketch(texts: list[str]) -> list[int | None]:
    """MinHashLSH of datasketch, every proposed pair compared."""
    index = MinHashLSH(num_perm=PERMUTATIONS, params=BANDS)
    base = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int)

    def sketch(shingles: frozenset[int]) -> MinHash:
        one = base.copy()
        one.update_batch([value & 0xFFFFFFFF for value in shingles])
        return one

    return kept_only(texts, sketch, index.insert, index.query)


def with_rensa(texts: list[str]) -> list[int | None]:
    """RMinHashLSH of rensa, every proposed pair compared."""
    count, _ = BANDS
    index = rensa.RMinHashLSH(THRESHOLD, PERMUTATIONS // count * count, count)

    def sketch(shingles: frozenset[int]) -> Any:
        one = rensa.RMinHash(PERMUTATIONS // count * count, 1)
        one.update([value.to_bytes(8, "little") for value in shingles])
        return one

    return kept_only(texts, sketch, index.insert, index.query)


def with_datatrove(texts: list[str]) -> dict[str, Any]:
    """datatrove's own four steps, in a process of its own environment."""
    python = peers.python("datatrove", *DATATROVE)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows"
        rows.mkdir()
        lines = (json.dumps({"id": str(number), "text": text}) + "\n" for number, text in enumerate(texts))
        (rows / "all.jsonl").write_text("".join(lines))
        command = [python, REPOSITORY / "bench/corpus_datatrove.py", folder, *map(str, BANDS)]
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def kept_only(
    texts: list[str], sketch: Callable[[frozenset[int]], Any], insert: Callable[..., None], query: Callable[[Any], Any]
) -> list[int | None]:
    """The rule of the filter around an index of somebody else's."""
    kept: dict[int, frozenset[int]] = {}
    found: list[int | None] = []
    for row, text in enumerate(texts):
        own = shingles_of(text)
        signs = sketch(own)
        near = (one for one in sorted(query(signs)) if len(own & kept[one]) / len(own | kept[one]) >= THRESHOLD)
        found.append(next(near, None))
        if found[-1] is None:
            insert(row, signs)
            kept[row] = own
    return found


def shingles_of(text: str) -> frozenset[int]:
    """The hashes of SHINGLE tokens in a row."""
    tokens = re.findall(r"\w+|[^\w\s]", text)
    starts = range(max(1, len(tokens) - SHINGLE + 1))
    return frozenset(xxhash.xxh64_intdigest("\0".join(tokens[at : at + SHINGLE]).encode()) for at in starts)


def timed(way: Callable[..., Any], *given: Any) -> tuple[float, Any]:
    """CPU seconds, and what came of it."""
    before = time.process_time()
    found = way(*given)
    return round(time.process_time() - before, 2), found


def stages(functions: list[dict[str, Any]], rows: int, picks: int) -> dict[str, Any]:
    """CPU seconds and memory of each stage on so many rows."""
    from workspace import Workspace

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        workspace = Workspace(Path(folder))
        write_published(functions, rows)
        workspace.set("collect.sources", [{"kind": "codesearchnet", "path": "rows.jsonl.gz"}])
        workspace.set("filter.self_contained", False)
        workspace.set("coreset.k", picks)
        found: dict[str, Any] = {"rows": rows, "picks": picks}
        for stage in ("collect", "filter"):
            found[stage] = measured(workspace, stage)
        found["rows_kept"] = json.loads(Path("metrics/filter.json").read_text())["rows_out"]
        write_vectors()
        found["coreset"] = measured(workspace, "coreset")
    return found


def write_published(functions: list[dict[str, Any]], rows: int) -> None:
    """rows.jsonl.gz: so many functions as CodeSearchNet has them."""
    names = {"repo": "source", "func_name": "name"} | {name: name for name in ("path", "code", "docstring", "language")}
    with gzip.open("rows.jsonl.gz", "wt", compresslevel=1) as out:
        for row in enlarged(functions, rows):
            published = {new: row[old] for new, old in names.items()} | {"url": f"#L{row['line']}"}
            out.write(json.dumps(published) + "\n")


def write_vectors() -> None:
    """data/corpus with all functions that were collected, and data/embeddings with a random vector for each."""
    collected = artifacts.open("data/functions")
    with artifacts.create("data/corpus", stage="filter", inputs=[collected]) as out:
        corpus = records.Parts(out, "corpus.parquet", records.FUNCTION)
        for batch in records.batches(collected.parts("functions.parquet"), records.FUNCTION, 1 << 16):
            corpus.add(batch)
        corpus.close()
    draw = np.random.default_rng(0)
    with artifacts.create("data/embeddings", stage="embed", inputs=[artifacts.open("data/corpus")]) as out:
        shape = (corpus.rows, 384)
        vectors = np.lib.format.open_memmap(out / "embeddings.npy", mode="w+", dtype=np.float16, shape=shape)
        for start in range(0, len(vectors), 1 << 16):
            piece = vectors[start : start + (1 << 16)]
            piece[:] = draw.standard_normal(piece.shape, dtype=np.float32)
        vectors.flush()


def measured(workspace: Any, stage: str) -> dict[str, float]:
    """Run a stage; its CPU seconds, and the most that it and its processes held of memory."""
    before = os.times()
    process = psutil.Popen(
        workspace.command(stage), cwd=workspace.path, env=workspace.environment(TIDEMILL_LOG="warning")
    )
    peak = 0
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            peak = max(peak, sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]))
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"{stage} ended with {process.returncode}")
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    print(stage, round(seconds, 1), "s", peak >> 20, "MB", file=sys.stderr, flush=True)
    return {"cpu_s": round(seconds, 1), "peak_mb": peak >> 20}


if __name__ == "__main__":
    main()
