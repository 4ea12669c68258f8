"""Asks a causal language model on this machine: batches of prompts in, answers out.

Every answer has its own random generator, seeded by its key, and batches depend only on the requests, so neither an
interruption nor the other rows in a batch affect a draw.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_SPECIAL = re.compile(r"[\\^$.|?*+()\[\]{}]")  # what makes a regular expression more than a text


@dataclass(frozen=True)
class Request:
    """One answer to be written: `key` seeds its draws."""

    key: str
    prompt: str


@dataclass(frozen=True)
class Answer:
    """What the model wrote, up to and including the match of a stop pattern.

    `tokens` are those that it wrote, an end-of-text token included; `finished` is false where it was cut at
    the most tokens.
    """

    text: str
    tokens: int
    finished: bool


@dataclass(frozen=True)
class Settings:
    """How answers are drawn: temperature 0 is greedy; `stop` are regular expressions searched in the answer.

    `special_tokens`: whether the tokenizer adds its own to a prompt, as it did in training.
    """

    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...] = ()
    special_tokens: bool = True


def up_to_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """`text` up to and including the first match of a pattern of `stop`, and whether there was one."""
    found = _pattern(stop).search(text) if stop else None
    return (text[: found.end()], True) if found else (text, False)


def literals(stop: Sequence[str]) -> list[str]:
    """Those patterns of `stop` that are plain texts, which a server can be told to stop at."""
    return [one for one in stop if not _SPECIAL.search(one)]


def _pattern(stop: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in stop))


def batches(lengths: Sequence[int], batch_rows: int) -> list[list[int]]:
    """Row numbers in batches of similar length, longest first, so that batches need little padding."""
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    return [order[start : start + batch_rows] for start in range(0, len(order), batch_rows)]


def lengths(tokenizer: Any, prompts: Sequence[str]) -> list[int]:
    """Tokens of each prompt, without those that the tokenizer adds."""
    return [len(ids) for ids in tokenizer(list(prompts), add_special_tokens=False)["input_ids"]]


def answer(model: Any, tokenizer: Any, requests: Sequence[Request], settings: Settings) -> list[Answer]:
    """The answers to one batch of requests, in their order."""
    import torch
    from transformers import GenerationConfig, StoppingCriteriaList

    tokenizer.padding_side = "left"
    inputs = tokenizer(
        [request.prompt for request in requests],
        add_special_tokens=settings.special_tokens,
        padding=True,
        return_tensors="pt",
        return_token_type_ids=False,
    ).to(model.device)
    width = inputs["input_ids"].shape[1]
    finish = _Finish(tokenizer, width, len(requests), settings.stop)
    # A complete configuration, so that a model's own (penalties, top-k) does not change what is measured.
    config = GenerationConfig(
        max_new_tokens=settings.max_new_tokens,
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
    )
    model.generation_config = config
    with torch.inference_mode():
        output = model.generate(
            **inputs,
            generation_config=config,
            logits_processor=_draws(requests, settings),
            stopping_criteria=StoppingCriteriaList([finish]),
        )
    return [finish.read(row, output[row, width:].tolist()) for row in range(len(requests))]


def _draws(requests: Sequence[Request], settings: Settings) -> Any:
    """Logits processors that make the most likely token a draw at this temperature (none for greedy)."""
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    if settings.temperature == 0:
        return LogitsProcessorList()
    nucleus = [TopPLogitsWarper(settings.top_p)] if settings.top_p < 1 else []
    keys = [f"{settings.seed} {request.key}" for request in requests]
    return LogitsProcessorList([TemperatureLogitsWarper(settings.temperature), *nucleus, _Gumbel(keys)])


class _Gumbel:
    """Adds Gumbel noise, so that the largest logit is a draw from the softmax: one generator a row.

    https://en.wikipedia.org/wiki/Gumbel_distribution#Gumbel_reparameterization_tricks
    """

    def __init__(self, keys: Sequence[str]) -> None:
        import torch

        seeds = [int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True) for key in keys]
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, _input_ids: Any, scores: Any) -> Any:
        import torch

        noise = [torch.empty(scores.shape[-1]).exponential_(generator=one).log() for one in self._generators]
        return scores.float() - torch.stack(noise).to(scores.device)


class _Finish:
    """Tracks which rows of a batch are finished, and after how many tokens."""

    def __init__(self, tokenizer: Any, prompt_width: int, rows: int, stop: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._width = prompt_width
        self._stop = _pattern(stop) if stop else None
        self._tokens: list[int | None] = [None] * rows

    def __call__(self, input_ids: Any, _scores: Any, **_: Any) -> Any:
        import torch

        for row, tokens in enumerate(self._tokens):
            if tokens is None and self._is_finished(written := input_ids[row, self._width :].tolist()):
                self._tokens[row] = len(written)
        return torch.tensor([tokens is not None for tokens in self._tokens], device=input_ids.device)

    def read(self, row: int, written: list[int]) -> Answer:
        tokens = self._tokens[row]
        kept = written if tokens is None else written[:tokens]
        return Answer(self._text(kept), len(kept), tokens is not None)

    def _is_finished(self, written: list[int]) -> bool:
        if written[-1] == self._tokenizer.eos_token_id:
            return True
        return bool(self._stop and self._stop.search(self._text(written)))

    def _text(self, written: list[int]) -> str:
        return str(self._tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False))
