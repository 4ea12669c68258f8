"""A request and its answer, as the page shows them."""

import json
from collections import Counter
from collections.abc import Iterator
from math import exp
from typing import Any

from stages.lib.report.rendering import clip
from stages.lib.report.tables import Row

SHOWN_TOKENS = 5  # of a probability answer's alternatives


def shown(exchange: Row) -> Row:
    """A row of `records.EXCHANGE`: model, messages as (role, text), other settings, answer, and its tokens."""
    body = json.loads(exchange["body"])
    said = body.get("messages") or [{"role": "prompt", "content": body.get("prompt", "")}]
    settings = {name: value for name, value in body.items() if name not in {"messages", "prompt", "model"}}
    return {
        "key": exchange["request"][:16],
        "model": exchange["model"],
        "messages": [[one["role"], clip(_text(one["content"]))] for one in said],
        "settings": [[name, _text(value)] for name, value in settings.items()],
        "answer": clip(_answer(exchange["response"], "top_logprobs" in body)),
        "tokens": [exchange["prompt_tokens"], exchange["completion_tokens"]],
    }


def share_texts(rows: list[Row]) -> list[str]:
    """Replace each text that several exchanges of `rows` have in common (a system message, an example) by its place in
    the returned list."""
    parts = _parts(rows)
    common = [text for text, times in Counter(text for _, text in parts).items() if times > 1 and len(text) > 8]
    place = {text: number for number, text in enumerate(common)}
    for part in parts:
        part[1] = place.get(part[1], part[1])
    return common


def write_out_texts(rows: list[Row], shared: list[str]) -> None:
    """Undo `share_texts`."""
    for part in _parts(rows):
        part[1] = shared[part[1]] if isinstance(part[1], int) else part[1]


def _parts(rows: list[Row]) -> list[list[Any]]:
    """Every [role or name, text] of the rows' messages and settings."""
    return [part for row in rows for one in _exchanges(row) for part in (*one["messages"], *one["settings"])]


def _exchanges(row: Row) -> Iterator[Row]:
    found = (row.get("asked"), row.get("judged"), *(one.get("asked") for one in row.get("panel", [])))
    return (one for one in found if one)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _answer(response: str, is_probability: bool) -> str:
    """The text, or of a yes-or-no answer its likeliest tokens with their probabilities."""
    if not is_probability:
        return response
    try:
        tokens = [(one["token"], exp(one["logprob"])) for one in json.loads(response)]
    except (ValueError, TypeError, KeyError):
        return response
    return "\n".join(f"{share:7.2%}  {token!r}" for token, share in tokens[:SHOWN_TOKENS])
