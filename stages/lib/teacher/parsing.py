"""From a model's text to a value under a JSON schema, or to the fault named in the re-ask."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from stages.lib.artifacts import canonical
from stages.lib.teacher.exchange import Reply
from stages.lib.teacher.replies import REFUSED

LEAST_SHARE = 0.05  # of the probability: below it, the model has not understood that it should choose
LIMITS = ("minLength", "maxLength", "minItems", "maxItems", "pattern")


def parse(reply: Reply, schema: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The object in the reply and "", or None and what is wrong with it.

    Tolerates what models put around JSON: prose, code fences, raw line breaks in strings.
    """
    found = _first_object(reply.text)
    if found is None and (fault := _withheld(reply)):
        return None, fault
    if found is None and reply.finish == "length":
        return None, f"the answer was cut off after {reply.completion_tokens} tokens; be shorter"
    if found is None:
        return None, "the answer holds no JSON object" if reply.text.strip() else "the answer is empty"
    fault = _violation(found, schema)
    return (None, fault) if fault else (found, "")


def _withheld(reply: Reply) -> str:
    """Why the model gave no answer at all, or ""."""
    if reply.finish == REFUSED:
        return f"the model refuses: {' '.join(reply.text.split())[:200]}"
    if reply.finish == "content_filter":
        return "the endpoint's content filter withheld the answer"
    if reply.finish == "length" and reply.reasoning_tokens and not reply.text.strip():
        return (
            f"the reasoning took all {reply.completion_tokens} tokens and left none for the answer; raise "
            "teacher.reasoning_tokens"
        )
    return ""


def shares(text: str, among: Sequence[str]) -> tuple[dict[str, float] | None, str]:
    """Each word's probability among the words, from the log-probabilities of a first token (OpenAI's `top_logprobs`) in
    JSON, to four places; or None and what is wrong."""
    try:
        tokens = [(one["token"].strip().lower(), math.exp(one["logprob"])) for one in json.loads(text)]
    except (ValueError, LookupError, TypeError, AttributeError):
        tokens = []
    if not tokens:
        return None, "the endpoint gave no log-probabilities; set judge.answers: reasons"
    found = {word: sum(p for token, p in tokens if token and word.lower().startswith(token)) for word in among}
    total = sum(found.values())
    if total < LEAST_SHARE:
        return None, f"the answer begins with {tokens[0][0]!r}, not with one of {', '.join(among)}"
    return {word: round(p / total, 4) for word, p in found.items()}, ""


def without_limits(schema: Any) -> Any:
    """`schema` without limits on length and pattern, which some endpoints reject."""
    if isinstance(schema, Mapping):
        return {key: without_limits(value) for key, value in schema.items() if key not in LIMITS}
    if isinstance(schema, list):
        return [without_limits(value) for value in schema]
    return schema


def _first_object(text: str) -> dict[str, Any] | None:
    decoder = json.JSONDecoder(strict=False)
    start = text.find("{")
    while start >= 0:
        try:
            value, _ = decoder.raw_decode(text, start)
        except ValueError:
            start = text.find("{", start + 1)
            continue
        return value if isinstance(value, dict) else None
    return None


def _violation(value: dict[str, Any], schema: dict[str, Any]) -> str:
    errors = _validator(canonical(schema)).iter_errors(value)
    first = min(errors, key=lambda error: [str(part) for part in error.path], default=None)
    if first is None:
        return ""
    where = ".".join(str(part) for part in first.path) or "the answer"
    return f"{where}: {first.message[:200]}"


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(schema))
