"""Row-by-row attention over several rows laid end to end.

Otherwise PyTorch's attention uses a mask and computes every pair of tokens in the sequence, quadratic in the number of
rows. Row by row it needs no mask and uses its causal kernel.
"""

from typing import Any

import torch
from torch.utils.weak import WeakIdKeyDictionary
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "tidemill_row_by_row"

_lengths: Any = WeakIdKeyDictionary()  # all layers are given one tensor: a GPU is waited for once in a forward pass


def use(model: Any) -> None:
    """Make `model` attend row by row if it uses PyTorch's attention over all earlier tokens; otherwise leave it
    alone."""
    config = model.config
    whole = getattr(config, "sliding_window", None) is None and set(getattr(config, "layer_types", None) or []) <= {
        "full_attention"
    }
    if whole and config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, row_by_row)
        AttentionMaskInterface.register(NAME, lambda *_, **__: None)
        model.set_attn_implementation(NAME)


def row_by_row(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **given: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention function for one sequence: query, key and value [1, heads, tokens, width], and the
    tokens where its rows begin and the last ends (TRL's padding-free collator); gives [1, tokens, heads, width]."""
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, None, **given)
    if cu_seq_lens_q not in _lengths:
        _lengths[cu_seq_lens_q] = cu_seq_lens_q.diff().tolist()
    lengths = _lengths[cu_seq_lens_q]
    rows = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    return torch.cat([sdpa_attention_forward(module, *row, None, **given)[0] for row in rows], dim=1), None
