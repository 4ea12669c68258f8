"""What the client is asked, and the request that each ask becomes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stages.lib import artifacts
from stages.lib.models import location
from stages.lib.teacher import parsing
from stages.lib.teacher.exchange import UNSENT_SEED, Request
from stages.lib.teacher.settings import EMBEDDED, Settings


@dataclass(frozen=True)
class Ask:
    """A question about the row `id`: chat messages and the JSON schema of the answer.

    `objection` returns what is wrong with an answer that fits the schema, or "". Such an answer is re-asked like one
    that does not fit, but the last one that fits is used.
    """

    id: str
    messages: list[dict[str, str]]
    schema: dict[str, Any]
    objection: Callable[[dict[str, Any]], str] = lambda _: ""


@dataclass(frozen=True)
class Text:
    """A text to be written about the row `id`: a continuation of `prompt`, or an answer if that is chat messages.

    It ends before any of the texts `stop` (OpenAI takes at most four). Its `Answer` has the value {"text": …}.
    """

    id: str
    prompt: str | list[dict[str, str]]
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """A question about the row `id` that the first of the words `among` answers, such as Yes and No.

    Its `Answer` has as its value each word's probability among them, from the endpoint's log-probabilities of the first
    token: a model's doubt, which its word alone does not tell. No two words may begin with the same token.
    """

    id: str
    messages: list[dict[str, str]]
    among: tuple[str, ...]


class Requests:
    """Turns asks into requests to the model of `settings`; `seed` is the stage's."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._settings = settings
        self._seed = seed

    def of_ask(self, ask: Ask, messages: list[dict[str, str]] | None = None, number: int = 0) -> Request:
        """The request for `ask`, or for its re-ask `number` with other `messages`."""
        body: dict[str, Any] = {
            **self._model,
            "messages": messages or ask.messages,
            **self._drawn("max_completion_tokens", seed_of(self._seed, ask.id, number)),
        }
        if self._settings.structured == "json_schema":
            schema = {"name": "answer", "strict": True, "schema": self.checked(ask.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self._settings.structured == "json_object":
            body["response_format"] = {"type": "json_object"}
        return self._request(body)

    def of_text(self, text: Text) -> Request:
        """The request for `text`: to the completions API for a prompt, to chat completions for messages."""
        goes_on = isinstance(text.prompt, str)
        return self._request(
            {
                **self._model,
                "prompt" if goes_on else "messages": text.prompt,
                **self._drawn("max_tokens" if goes_on else "max_completion_tokens", seed_of(self._seed, text.id)),
                **({"stop": list(text.stop)} if text.stop else {}),
            }
        )

    def of_choice(self, choice: Choice) -> Request:
        """The request for the probabilities of `choice`'s first token, of which OpenAI gives the 20 likeliest."""
        return self._request(
            {
                **self._model,
                "messages": choice.messages,
                **({} if self._settings.temperature is None else {"temperature": 0.0}),
                "max_completion_tokens": 1,
                "logprobs": True,
                "top_logprobs": 20,
            }
        )

    def checked(self, schema: dict[str, Any]) -> dict[str, Any]:
        """`schema` as the endpoint is told of it."""
        return schema if self._settings.schema_limits else dict(parsing.without_limits(schema))

    def _drawn(self, limit: str, seed: int) -> dict[str, Any]:
        """The fields that say how an answer is drawn, without those that are null. `limit` is what the API calls the
        most tokens of an answer. A seed that isn't sent still tells apart equal questions about different rows."""
        knobs = self._settings
        fields = {
            "temperature": knobs.temperature,
            "top_p": knobs.top_p,
            "reasoning_effort": knobs.reasoning_effort,
            limit: knobs.most_tokens,
            "seed" if knobs.seed else UNSENT_SEED: seed,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _request(self, body: dict[str, Any]) -> Request:
        if extra := self._settings.extra:
            body = {name: value for name, value in {**body, **extra}.items() if value is not None}
        return Request(body)

    @cached_property
    def _model(self) -> dict[str, str]:
        """The model's name, and for an embedded file of one's own its hash: other weights are other requests. A name
        that begins with weights: or package: has pinned bytes."""
        name = self._settings.model
        if self._settings.base_url == EMBEDDED and name.startswith("path:"):
            return {"model": name, "model_sha256": artifacts.hash_file(location.locate(name))}
        return {"model": name}


def seed_of(seed: int, row: str, number: int = 0) -> int:
    """The sampling seed of a row's request, 31 bits; depends only on the row, not on what else is asked."""
    return int(hashlib.sha256(f"{seed}:{row}:{number}".encode()).hexdigest()[:8], 16) >> 1
