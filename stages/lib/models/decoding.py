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

LOOK = 16  # tokens between two looks at which answers are finished


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

    None leaves temperature or top_p to the server, and so is for an endpoint alone.

    `special_tokens`: whether the tokenizer adds its own to a prompt, as it did in training.
    """

    max_new_tokens: int
    temperature: float | None
    top_p: float | None
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
    """The answers to one batch of requests, in their order.

    Every `LOOK` tokens those that are finished leave the batch, so that one long answer costs no more than itself.
    """
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
    batch = _Batch(inputs["input_ids"], inputs["attention_mask"])
    finish = _Finish(tokenizer, batch.ids.shape[1], len(requests), settings.stop)
    draws, gumbel = _draws(requests, settings)
    # A complete configuration, so that a model's own (penalties, top-k) does not change what is measured.
    config = GenerationConfig(
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
        return_dict_in_generate=True,
    )
    model.generation_config = config
    left = settings.max_new_tokens
    with torch.inference_mode():
        while finish.rows and left > 0:
            config.max_new_tokens = min(LOOK, left)
            made = model.generate(
                **batch.inputs,
                generation_config=config,
                logits_processor=draws,
                stopping_criteria=StoppingCriteriaList([finish]),
            )
            left -= config.max_new_tokens
            kept = finish.leave(made.sequences)
            gumbel.select(kept)
            batch = batch.grown(made, kept)
    return finish.answers()


@dataclass(frozen=True)
class _Batch:
    """The rows that are still being answered: token ids and mask, (rows, tokens), and what the model remembers."""

    ids: Any
    mask: Any
    memory: Any = None

    @property
    def inputs(self) -> dict[str, Any]:
        return {"input_ids": self.ids, "attention_mask": self.mask, "past_key_values": self.memory}

    def grown(self, made: Any, kept: list[int]) -> "_Batch":
        """With the tokens that were `made`, those rows alone whose places are `kept`."""
        mask = self.mask.new_ones(made.sequences.shape)
        mask[:, : self.mask.shape[1]] = self.mask
        if len(kept) == len(mask) or not kept:
            return _Batch(made.sequences, mask, made.past_key_values)
        places = self.ids.new_tensor(kept)
        made.past_key_values.batch_select_indices(places)
        return _Batch(made.sequences[places], mask[places], made.past_key_values)


def _draws(requests: Sequence[Request], settings: Settings) -> tuple[Any, "_Gumbel"]:
    """Logits processors that make the most likely token a draw at this temperature (none for greedy), and the one among
    them that has to know which rows there are."""
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    gumbel = _Gumbel([f"{settings.seed} {request.key}" for request in requests])
    if not settings.temperature:
        return LogitsProcessorList(), gumbel
    nucleus = [TopPLogitsWarper(settings.top_p)] if settings.top_p and settings.top_p < 1 else []
    return LogitsProcessorList([TemperatureLogitsWarper(settings.temperature), *nucleus, gumbel]), gumbel


class _Gumbel:
    """Adds Gumbel noise, so that the largest logit is a draw from the softmax: one generator a row.

    https://en.wikipedia.org/wiki/Gumbel_distribution#Gumbel_reparameterization_tricks
    """

    def __init__(self, keys: Sequence[str]) -> None:
        import torch

        seeds = [int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True) for key in keys]
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def select(self, kept: Sequence[int]) -> None:
        """Go on with the rows at these places alone."""
        self._generators = [self._generators[place] for place in kept]

    def __call__(self, _input_ids: Any, scores: Any) -> Any:
        import torch

        noise = [torch.empty(scores.shape[-1]).exponential_(generator=one).log() for one in self._generators]
        return scores.float() - torch.stack(noise).to(scores.device)


class _Finish:
    """Tracks which answers are finished, and after how many tokens; `rows` are those that are still in the batch."""

    def __init__(self, tokenizer: Any, prompt_width: int, rows: int, stop: Sequence[str]) -> None:
        self.rows = list(range(rows))
        self._tokenizer = tokenizer
        self._width = prompt_width
        self._stop = _pattern(stop) if stop else None
        self._tokens: list[int | None] = [None] * rows
        self._written: list[list[int]] = [[] for _ in range(rows)]

    def __call__(self, input_ids: Any, _scores: Any, **_: Any) -> Any:
        import torch

        for place, row in enumerate(self.rows):
            if self._tokens[row] is None and self._is_finished(written := input_ids[place, self._width :].tolist()):
                self._tokens[row] = len(written)
        return torch.tensor([self._tokens[row] is not None for row in self.rows], device=input_ids.device)

    def leave(self, sequences: Any) -> list[int]:
        """Keep what was written of every row, let those go that are finished, and return the others' places."""
        for place, row in enumerate(self.rows):
            self._written[row] = sequences[place, self._width :].tolist()[: self._tokens[row]]
        kept = [place for place, row in enumerate(self.rows) if self._tokens[row] is None]
        self.rows = [self.rows[place] for place in kept]
        return kept

    def answers(self) -> list[Answer]:
        """All answers, in the requests' order."""
        return [
            Answer(self._text(written), len(written), tokens is not None)
            for written, tokens in zip(self._written, self._tokens, strict=True)
        ]

    def _is_finished(self, written: list[int]) -> bool:
        if written[-1] == self._tokenizer.eos_token_id:
            return True
        return bool(self._stop and self._stop.search(self._text(written)))

    def _text(self, written: list[int]) -> str:
        return str(self._tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False))
