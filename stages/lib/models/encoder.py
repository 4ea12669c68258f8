"""Turns texts into vectors with a pre-trained encoder: its first token's state, or the mean of all.

WaveCoder, section 2.2.1, takes the [CLS] state of roberta-large; sentence-transformers' own models
were trained for one pooling each, which their model card names.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stages.lib.errors import BadInput
from stages.lib.models import location, static
from stages.lib.models.static import StaticEncoder

Pooling = Literal["cls", "mean"]
Precision = Literal["float32", "bfloat16"]
TOKENIZE_AT_ONCE = 4096

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoder:
    """A loaded encoder: `dimension` is its hidden size, `fingerprint` the sha256 of its files."""

    model: Any
    tokenizer: Any
    fingerprint: str
    dimension: int
    pooling: Pooling
    normalize: bool
    max_tokens: int

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens of each text before any cut, special tokens included: int64 (N,)."""
        counts: list[int] = []
        for start in range(0, len(texts), TOKENIZE_AT_ONCE):
            encoded = self.tokenizer(
                list(texts[start : start + TOKENIZE_AT_ONCE]), return_attention_mask=False, verbose=False
            )
            counts += [len(ids) for ids in encoded["input_ids"]]
        return np.array(counts, dtype=np.int64)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors of one batch, cut at `max_tokens`: float16 (len(texts), dimension)."""
        import torch

        batch = self.tokenizer(
            list(texts), truncation=True, max_length=self.max_tokens, padding=True, return_tensors="pt"
        ).to(self.model.device)
        with torch.inference_mode():
            states = self.model(**batch).last_hidden_state.float()
            vectors = states[:, 0] if self.pooling == "cls" else _mean(states, batch["attention_mask"])
            if self.normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=-1)
        return np.asarray(vectors.cpu().numpy(), dtype=np.float16)


def load(
    name: str,
    *,
    pooling: Pooling,
    normalize: bool,
    max_tokens: int,
    device: str,
    threads: int,
    precision: Precision = "float32",
) -> Encoder | StaticEncoder:
    """The encoder `name` (a form of stages/lib/models/causal.py) on `device` ("auto", "cpu", "cuda").

    Raises `BadInput` for a model that cannot be found or read, that has a decoder, whose tokenizer
    cannot pad, or that takes fewer than `max_tokens` tokens.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    path = location.locate(name)
    if folder := static.folder_of(path):
        how: dict[str, Any] = {"pooling": pooling, "normalize": normalize, "max_tokens": max_tokens}
        return static.load(name, folder, threads=threads, **how)
    torch.set_num_threads(threads)
    try:
        config = AutoConfig.from_pretrained(path)
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModel.from_pretrained(path, dtype=getattr(torch, precision))
    except (OSError, ValueError) as error:
        raise BadInput(f"model {name!r} cannot be loaded as an encoder: {error}") from None
    if config.is_encoder_decoder:
        raise BadInput(f"model {name!r} has a decoder; name an encoder-only model")
    if tokenizer.pad_token_id is None:
        raise BadInput(f"model {name!r}: its tokenizer has no padding token, so rows cannot be batched; name another")
    limit = _limit(config, tokenizer)
    if max_tokens > limit:
        raise BadInput(f"model {name!r} takes {limit} tokens; lower max_tokens from {max_tokens} to that or less")
    return Encoder(
        model=model.eval().to(location.device(device)),
        tokenizer=tokenizer,
        fingerprint=location.fingerprint(name),
        dimension=int(config.hidden_size),
        pooling=pooling,
        normalize=normalize,
        max_tokens=max_tokens,
    )


def _limit(config: Any, tokenizer: Any) -> int:
    # RoBERTa's positions start after the padding token's id, so 514 positions hold 512 tokens.
    offset = tokenizer.pad_token_id + 1 if "roberta" in config.model_type else 0
    return min(int(config.max_position_embeddings) - offset, tokenizer.model_max_length)


def _mean(states: Any, mask: Any) -> Any:
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)
