"""embed: encodes every function of the corpus as a vector.

Reads   data/corpus/corpus.parquet
Writes  data/embeddings/embeddings.npy  float16 (N, d); row i is row i of the corpus
        metrics/embed.json              rows, dimension, encoder, rows truncated at max_tokens

Rows are encoded longest first, so that batches need little padding and a lack of memory shows at once. Each shard is
saved: a killed run resumes after the last one, and machines can split the shards (stages/lib/shards.py).
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from stages.lib import artifacts, checkpoint, params, progress, records, shards
from stages.lib.models import encoder
from stages.lib.models.encoder import Encoder, Pooling, Precision
from stages.lib.models.static import StaticEncoder


class Params(params.Section):
    """The section `embed` of params.yaml."""

    encoder: str
    text: Literal["code", "name, docstring and code"]
    precision: Precision
    pooling: Pooling
    normalize: bool
    max_tokens: int = Field(ge=8)
    batch_rows: int = Field(ge=1)  # changes padding, and so the last bits
    shard_batches: int = Field(ge=1, exclude=True)
    threads: int = Field(ge=1)  # changes the order of summation, and so the last bits
    device: Literal["auto", "cpu", "cuda"] = Field(exclude=True)


log = logging.getLogger("tidemill.embed")


def main() -> None:
    knobs = params.load("embed", Params)
    corpus = artifacts.open("data/corpus")
    texts = read_texts(corpus, knobs)
    with progress.work("loading the encoder"):
        model = encoder.load(
            knobs.encoder,
            pooling=knobs.pooling,
            normalize=knobs.normalize,
            max_tokens=knobs.max_tokens,
            device=knobs.device,
            threads=knobs.threads,
            precision=knobs.precision,
        )
    made_with = {**knobs.result, "encoder_sha256": model.fingerprint}
    with progress.work("counting tokens"):
        lengths = model.lengths(texts)
    order = np.argsort(-lengths, kind="stable")
    saves = checkpoint.folder("embed", [corpus], {**made_with, "shard_batches": knobs.shard_batches})
    encoded = list(encode_shards(model, texts, order, np.minimum(lengths, knobs.max_tokens), saves, knobs))
    if shards.is_one():
        return
    with artifacts.create("data/embeddings", stage="embed", inputs=[corpus], params=made_with) as out:
        matrix = np.lib.format.open_memmap(
            out / "embeddings.npy", mode="w+", dtype=np.float16, shape=(len(texts), model.dimension)
        )
        for rows, save in encoded:
            matrix[rows] = np.load(save / "vectors.npy")
        matrix.flush()
        artifacts.write_metrics(
            "embed",
            {
                "rows": len(texts),
                "dimension": model.dimension,
                "encoder": knobs.encoder,
                "encoder_sha256": model.fingerprint,
                "tokens": int(lengths.sum()),
                "rows_cut_at_max_tokens": int((lengths > knobs.max_tokens).sum()),
                "tokens_cut": int(np.maximum(lengths - knobs.max_tokens, 0).sum()),
            },
        )
    checkpoint.discard(saves)


def read_texts(corpus: artifacts.Artifact, knobs: Params) -> list[str]:
    """The text to encode for each function; the paper encodes the raw code."""
    names = ["code"] if knobs.text == "code" else ["name", "docstring", "code"]
    table = records.read(corpus.parts("corpus.parquet"), records.FUNCTION, names)
    if knobs.text == "code":
        return table["code"].to_pylist()
    columns = (table[name].to_pylist() for name in names)
    return ["\n".join(part for part in row if part) for row in zip(*columns, strict=True)]


def encode_shards(
    model: Encoder | StaticEncoder, texts: list[str], order: np.ndarray, tokens: np.ndarray, saves: Path, knobs: Params
) -> Iterator[tuple[np.ndarray, Path]]:
    """Rows and sealed save of each of our shards of `order`; shards already saved are not encoded again."""
    size = knobs.batch_rows * knobs.shard_batches
    count = -(-len(order) // size)
    mine = {number: order[number * size : (number + 1) * size] for number in shards.mine(count)}
    total, weight = sum(map(len, mine.values())), float(sum(tokens[rows].sum() for rows in mine.values()))
    with progress.work("encoding", total, "functions", weight) as work:
        for number, rows in mine.items():
            save = saves / f"shard-{number:06d}"
            if checkpoint.is_valid(save):
                work.skip(len(rows), tokens[rows].sum())
            else:
                save.mkdir(exist_ok=True)
                vectors = []
                for start in range(0, len(rows), knobs.batch_rows):
                    batch = rows[start : start + knobs.batch_rows]
                    vectors.append(model.encode([texts[row] for row in batch]))
                    work.add(len(batch), tokens[batch].sum())
                np.save(save / "vectors.npy", np.concatenate(vectors))
                checkpoint.seal(save)
                log.debug("encoded shard %d of %d", number + 1, count)
            yield rows, save
            checkpoint.raise_if_stop_requested()
