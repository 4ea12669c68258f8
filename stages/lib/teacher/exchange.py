"""A request to a model, its identity, and the exchange it forms with its response."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from stages.lib.artifacts import canonical

UNSENT_SEED = "unsent_seed"  # in the body of a request, but not sent


@dataclass(frozen=True)
class Request:
    """The whole body of a request: model, messages, schema, sampling, seed; or `prompt` in place of messages.

    It does not include the transport (URL, key, timeout), so the same question is the same request at any endpoint.
    Where the model takes no seed, the body has UNSENT_SEED instead: part of the identity alone.
    """

    body: dict[str, Any]

    @cached_property
    def text(self) -> str:
        """The body as canonical JSON."""
        return canonical(self.body)

    @cached_property
    def key(self) -> str:
        """The journal's key: sha256 of the canonical body, hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def sent(self) -> dict[str, Any]:
        """The body as it is sent."""
        if UNSENT_SEED not in self.body:
            return self.body
        return {name: value for name, value in self.body.items() if name != UNSENT_SEED}

    @property
    def path(self) -> str:
        """The path below the endpoint's URL."""
        return "completions" if "prompt" in self.body else "chat/completions"

    @property
    def most_tokens(self) -> int:
        """The most tokens its answer may have, reasoning included."""
        return int(self.body.get("max_completion_tokens") or self.body["max_tokens"])


@dataclass(frozen=True, slots=True)
class Reply:
    """An endpoint's answer: its text, why it stopped ("stop", "length", …), the token counts, and, apart from the text,
    the reasoning before it. `completion_tokens` include `reasoning_tokens`."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    reasoning: str = ""
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request (its key, its model, its body as canonical JSON) and the reply to it."""

    request: str
    model: str
    body: str
    reply: Reply

    @classmethod
    def of(cls, request: Request, reply: Reply) -> Self:
        """The exchange. It keeps no reference to the request's parts, since thousands may wait for an earlier row."""
        return cls(request.key, request.body["model"], request.text, reply)

    @property
    def record(self) -> dict[str, Any]:
        """The row of `records.EXCHANGE`."""
        return {
            "request": self.request,
            "model": self.model,
            "body": self.body,
            "response": self.reply.text,
            "prompt_tokens": self.reply.prompt_tokens,
            "completion_tokens": self.reply.completion_tokens,
        }

    @property
    def thought(self) -> dict[str, Any]:
        """The row of `records.REASONING`."""
        reply = self.reply
        return {"request": self.request, "reasoning": reply.reasoning, "reasoning_tokens": reply.reasoning_tokens}
