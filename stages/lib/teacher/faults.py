"""What an endpoint's failures mean: for the attempt, for the row, or for the run."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from stages.lib.errors import BadInput

LENGTH = 300  # characters of a fault
BYTES_PER_TOKEN = 3  # of code, for an estimate when the endpoint gives no count


# Fields of a request that some models do not take, and what to change.
NULL = "set `{name}: null` under {where}, so that it isn't sent"
ADVICE = {
    **dict.fromkeys(("temperature", "top_p", "seed"), NULL),
    "reasoning_effort": "set `reasoning_effort` under {where} to a value that it takes, or to null",
    **dict.fromkeys(("logprobs", "top_logprobs"), "set judge.answers: reasons"),
    "max_completion_tokens": "set `extra: {{max_completion_tokens: null, max_tokens: …}}` under {where}",
    "stop": "it cannot be left out: ask another model or endpoint",
}
_UNSUPPORTED = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|not permitted|not allowed|cannot find field|unexpected",
    re.IGNORECASE,
)


def advice(name: str, where: str) -> str:
    """What to change for an endpoint that does not take the field `name`; `where`: the key that has its settings."""
    if name in ("temperature", "top_p") and where == "sample.endpoint":
        where = "sample"  # which has these for models in this process too
    return ADVICE.get(name, "take {name} out of `extra`").format(name=name, where=where)


class Refused(Exception):
    """The endpoint will never answer this request; the row becomes a dead letter. `field`: the field of the request
    that it names as the reason, if any."""

    def __init__(self, fault: str, field: str = "") -> None:
        super().__init__(fault)
        self.field = field


class Failed(Exception):
    """This attempt failed, but another may succeed. `retry_after` is the wait the endpoint asked for, in seconds;
    `sent`: the request may have been answered and charged; `alive`: the endpoint responded; `limited`: it refused the
    request for coming too soon (HTTP 429); `slow`: it took the request, and no answer came in time."""

    def __init__(
        self,
        fault: str,
        retry_after: float = 0.0,
        sent: bool = False,
        alive: bool = True,
        limited: bool = False,
        slow: bool = False,
    ) -> None:
        super().__init__(fault)
        self.retry_after, self.sent, self.alive, self.limited, self.slow = retry_after, sent, alive, limited, slow


def clean(text: str, key: str) -> str:
    """`text` on one line, with any occurrence of the key removed."""
    if key:
        text = text.replace(key, "[key]")
    return re.sub(r"\s+", " ", text).strip()[:LENGTH]


def of_status(
    status: int, headers: Mapping[str, str], data: bytes, url: str, key: str, key_variable: str, request_bytes: int
) -> Exception:
    """The meaning of an HTTP status other than 200, with what the endpoint said.

    `Failed` or `Refused` for the row; `BadInput` for what stops the whole run (a refused key, an unknown model or
    address, an account without money).
    """
    error = _error(data)
    said = clean(f"HTTP {status}: {_said(error, data)}", key)
    if status in (401, 403):
        where = f"environment variable {key_variable}" if key_variable else "teacher.api_key_env, unset"
        return BadInput(f"{url} refuses the key (from {where}): {said}")
    if status in (301, 302, 303, 307, 308, 404, 405):
        return BadInput(f"{url} has no such model or address: {said}; check teacher.base_url and teacher.model")
    if status == 429 and "insufficient_quota" in said:
        return BadInput(f"{url} refuses to go on: {said}")
    if status in (408, 409, 425, 429) or status >= 500:
        return Failed(said, retry_after=_retry_after(headers), limited=status == 429)
    if _too_long(status, error, said):
        return Refused(f"{said}; the request is {request_bytes} bytes, about {request_bytes // BYTES_PER_TOKEN} tokens")
    return Refused(said, str(error.get("param") or ""))


def refused_field(refusal: Refused, names: Collection[str]) -> str:
    """Which of `names`, fields of a request, the endpoint says that it does not take; "" if none.

    OpenAI names it in `param`; others only in the message, some of them in camel case.
    """
    if not _UNSUPPORTED.search(str(refusal)):
        return ""
    words = {_folded(word) for word in re.findall(r"\w+", refusal.field or str(refusal))}
    return next((name for name in names if _folded(name) in words), "")


def _folded(word: str) -> str:
    return word.replace("_", "").lower()


def refuses_schema(refusal: Refused) -> bool:
    """Whether the endpoint's message says that it rejects the answer's schema."""
    return bool(re.search(r"response_format|json_schema|invalid schema|grammar", str(refusal), re.IGNORECASE))


def _error(data: bytes) -> Mapping[str, Any]:
    try:
        body = orjson.loads(data)
    except ValueError:
        return {}
    error = body.get("error") or body.get("detail") or body if isinstance(body, dict) else body
    return error if isinstance(error, dict) else {"message": error} if isinstance(error, str) else {}


def _said(error: Mapping[str, Any], data: bytes) -> str:
    if not error:
        return data.decode("utf-8", "replace")
    tokens = f" ({error['n_prompt_tokens']} prompt tokens)" if "n_prompt_tokens" in error else ""
    kind = error.get("code") if isinstance(error.get("code"), str) else error.get("type")
    return f"{error.get('message', dict(error))}{tokens}" + (f" [{kind}]" if kind else "")


def _too_long(status: int, error: Mapping[str, Any], said: str) -> bool:
    counted = "n_prompt_tokens" in error
    return not counted and (status == 413 or "context_length" in said or "context length" in said)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds to wait by the Retry-After header (RFC 9110, 10.2.3): a number or a date; 0 where there is none."""
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
