"""A request to a model, its identity, and the exchange that it becomes with its response."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stages.lib.artifacts import canonical


@dataclass(frozen=True)
class Request:
    """The whole body of a request: model, messages, schema, sampling, seed; or `prompt` in place of messages.

    Nothing of the way there (URL, key, timeout) is in it, so that the same question is the same
    request at whichever endpoint it is asked.
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
    def path(self) -> str:
        """Where it is sent, below the endpoint's URL."""
        return "completions" if "prompt" in self.body else "chat/completions"

    @property
    def most_tokens(self) -> int:
        """The most tokens that its answer may have."""
        return int(self.body["max_tokens" if "prompt" in self.body else "max_completion_tokens"])


@dataclass(frozen=True)
class Reply:
    """What an endpoint said: its text, why it stopped ("stop", "length", …) and what it counted, in tokens."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Exchange:
    """A request and its reply; `replayed` if it came from the journal."""

    request: Request
    reply: Reply
    replayed: bool

    @property
    def record(self) -> dict[str, Any]:
        """The row of `records.EXCHANGE`."""
        return {
            "request": self.request.key,
            "model": self.request.body["model"],
            "body": self.request.text,
            "response": self.reply.text,
            "prompt_tokens": self.reply.prompt_tokens,
            "completion_tokens": self.reply.completion_tokens,
        }
