"""Static encoders: a text's vector is the mean of its tokens' vectors, which a transformer was asked for beforehand.

For corpora of hundreds of millions, hundreds of times faster than a transformer (model2vec,
https://github.com/MinishLab/model2vec; sentence-transformers' StaticEmbedding). A folder of either library is one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.lib.errors import BadInput
from stages.lib.models import location

AT_ONCE = 4096


@dataclass(frozen=True)
class StaticEncoder:
    """A loaded static encoder, which does what `encoder.Encoder` does."""

    module: Any
    fingerprint: str
    dimension: int
    normalize: bool
    max_tokens: int

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens of each text before any cut: int64 (N,)."""
        counts: list[int] = []
        for start in range(0, len(texts), AT_ONCE):
            counts += map(len, self._tokens(texts[start : start + AT_ONCE]))
        return np.array(counts, dtype=np.int64)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors of one batch, cut at `max_tokens`: float16 (len(texts), dimension).

        A text of no token is all zeros."""
        import torch

        tokens = [ids[: self.max_tokens] for ids in self._tokens(texts)]
        starts = torch.from_numpy(np.cumsum([0, *map(len, tokens[:-1])]))
        with torch.inference_mode():
            ids = torch.tensor([one for ids in tokens for one in ids], dtype=torch.long)
            vectors = self.module({"input_ids": ids, "offsets": starts})["sentence_embedding"].float()
            if self.normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=-1)
        return np.asarray(vectors.numpy(), dtype=np.float16)

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return [one.ids for one in self.module.tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def folder_of(path: Path) -> Path | None:
    """The folder with the vectors of the static encoder in `path`, None if it is another model."""
    if (path / "modules.json").is_file():
        first = json.loads((path / "modules.json").read_text(encoding="utf-8"))[0]
        return path / first["path"] if first["type"].endswith("StaticEmbedding") else None
    config = json.loads((path / "config.json").read_text(encoding="utf-8")) if (path / "config.json").is_file() else {}
    return path if config.get("model_type") == "model2vec" else None


def load(name: str, folder: Path, *, pooling: str, normalize: bool, max_tokens: int, threads: int) -> StaticEncoder:
    """The static encoder `name`, whose vectors lie in `folder`.

    Raises `BadInput` for a folder that cannot be read, and for another pooling than mean.
    """
    import torch
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    if pooling != "mean":
        raise BadInput(f"model {name!r} is a static encoder, which takes the mean of its tokens; set pooling: mean")
    torch.set_num_threads(threads)
    try:
        module = StaticEmbedding.load(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"model {name!r} cannot be loaded as a static encoder: {error}") from None
    module.tokenizer.no_truncation()
    return StaticEncoder(module, location.fingerprint(name), module.embedding_dim, normalize, max_tokens)
