"""Floating-point operations of training a causal language model, and how many this machine does per second."""

import time
from typing import Any


def per_token(config: Any, parameters: int, tokens: int, *, lora: bool) -> float:
    """Model FLOPs of training on one token of a row of `tokens`.

    2 for each weight that is multiplied and for each pair of a query with a key (causal: half the row on average),
    times 3 for forward, gradients of activations and gradients of weights, the last of which frozen weights do
    without (PaLM, Chowdhery et al. 2022, appendix B, https://arxiv.org/abs/2204.02311). What is computed twice to
    save memory is not counted.
    """
    heads_width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    pairs = 2 * config.num_hidden_layers * config.num_attention_heads * heads_width * tokens / 2
    multiplied = parameters if config.tie_word_embeddings else parameters - config.vocab_size * config.hidden_size
    return (2 if lora else 3) * 2 * multiplied + 3 * 2 * pairs


def matrix_rate(device: str, dtype: str) -> float:
    """Measured FLOP/s of a large matrix product on `device` in `dtype`: the best of several."""
    import torch

    width = 8192 if device == "cuda" else 768
    left = torch.randn(width, width, device=device, dtype=getattr(torch, dtype))
    right = torch.randn_like(left)
    best = 0.0
    for _ in range(8):
        _settle(device)
        started = time.perf_counter()
        torch.mm(left, right)
        _settle(device)
        best = max(best, 2 * width**3 / (time.perf_counter() - started))
    return best


def _settle(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
