"""Which functions of the coreset each round takes."""

import math
from typing import Any

from stages.lib.errors import BadInput
from stages.lib.tasks.prompts import summary

BYTES_PER_TOKEN = 3  # of code, rounded down for byte-level tokenizers

Function = dict[str, Any]


def read_round(stage: str, key: str) -> int:
    """The round number in `key`. Raises `BadInput` unless it is 1 or more."""
    if not key.isdecimal() or int(key) < 1:
        raise BadInput(f"{stage} needs a round number: stages/run {stage}@1, not {stage}@{key}")
    return int(key)


def take_slice(
    chosen: list[Function],
    number: int,
    rounds: int,
    rows: int,
    most_tokens: int,
    documented: bool,
    takes_rest: bool = False,
) -> tuple[list[Function], list[dict[str, Any]]]:
    """Round `number`'s functions of `chosen`, in order, and those set aside on the way: id, reason, estimated tokens.

    A round takes `rows` of the functions that fit, or an even share if there are too few for all `rounds`, or, if it
    `takes_rest`, all that the earlier ones left.
    """
    lengths = [estimate_tokens(function["code"]) for function in chosen]
    reasons = [
        _misfit(function, tokens, most_tokens, documented) for function, tokens in zip(chosen, lengths, strict=True)
    ]
    size = min(rows, max(1, math.ceil(reasons.count("") / rounds)))
    first, last = (number - 1) * size, reasons.count("") if takes_rest else number * size
    fitting: list[Function] = []
    set_aside: list[dict[str, Any]] = []
    for function, tokens, reason in zip(chosen, lengths, reasons, strict=True):
        if len(fitting) == last and not takes_rest:
            break
        if not reason:
            fitting.append(function)
        elif len(fitting) >= first:
            set_aside.append({"id": function["id"], "reason": reason, "tokens": tokens})
    return fitting[first:], set_aside


def estimate_tokens(code: str) -> int:
    """An estimate, on the high side, of the tokens a byte-level tokenizer makes of `code`."""
    return -(-len(code.encode()) // BYTES_PER_TOKEN)


def _misfit(function: Function, tokens: int, most_tokens: int, documented: bool) -> str:
    if tokens > most_tokens:
        return "too long"
    return "no documentation" if documented and not summary(function["docstring"]) else ""
