"""The `teacher` part of a section of params.yaml."""

from typing import Any, Literal

from pydantic import Field, field_validator

from stages.lib.params import Section

EMBEDDED = "embedded"
FORM = ("messages", "prompt", "response_format", "n", "stream", "logprobs", "top_logprobs")


class Price(Section):
    """US dollars per million tokens."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)


class More(Section):
    """One more endpoint serving the same model, with its own limits; 0: no limit."""

    base_url: str
    api_key_env: str = ""
    concurrency: int = Field(gt=0)
    requests_per_minute: float = Field(ge=0, default=0.0)
    tokens_per_minute: float = Field(ge=0, default=0.0)


class Access(Section):
    """How an endpoint is reached, paid and paced. None of this can change an answer."""

    base_url: str = Field(exclude=True)
    api_key_env: str = Field(exclude=True)
    free: bool = Field(exclude=True)
    prices: dict[str, Price] = Field(exclude=True)
    budget_usd: float = Field(ge=0, exclude=True)
    concurrency: int = Field(gt=0, exclude=True)
    timeout_s: float = Field(gt=0, exclude=True)
    patience_s: float = Field(gt=0, exclude=True)
    max_attempts: int = Field(gt=0, exclude=True)
    requests_per_minute: float = Field(ge=0, exclude=True, default=0.0)
    tokens_per_minute: float = Field(ge=0, exclude=True, default=0.0)
    answers_as: str = Field(exclude=True, default="")


class Dialect(Access):
    """What the models of today want to be asked, or not to be asked. Fields with `exclude_if` came later: while they
    have their default, an artifact's parameters are what they were before.

    `extra` are further fields of each request; null takes one out.
    """

    seed: Literal["row"] | None = Field(default="row", exclude_if=lambda value: value == "row")
    reasoning_effort: str | None = Field(default=None, exclude_if=lambda value: value is None)
    reasoning_tokens: int = Field(ge=0, default=0, exclude_if=lambda value: value == 0)
    extra: dict[str, Any] = Field(default={}, exclude_if=lambda value: not value)

    @classmethod
    def key_of(cls, name: str) -> str:
        """The key of params.yaml that sets the field `name` of a request."""
        return f"teacher.{name}"

    @field_validator("extra")
    @classmethod
    def _only_further_fields(cls, extra: dict[str, Any]) -> dict[str, Any]:
        """`extra` must not set what has a key of its own, nor what makes answers of another form."""
        renamed = "max_completion_tokens" in extra and extra["max_completion_tokens"] is None
        for name in extra:
            if name in FORM:
                raise ValueError(f"{name} would change the form of an answer; take it out")
            if name in Settings.model_fields and not (renamed and name == "max_tokens"):
                raise ValueError(f"{name} has a key of its own; set {cls.key_of(name)}")
        if "max_completion_tokens" in extra and not renamed:
            raise ValueError(f"max_completion_tokens has a key of its own; set {cls.key_of('max_tokens')}")
        if renamed and not (isinstance(extra.get("max_tokens"), int) and extra["max_tokens"] > 0):
            raise ValueError("an answer needs a limit: give max_tokens in place of max_completion_tokens")
        return extra


class Settings(Dialect):
    """One model behind one endpoint. Fields with `exclude` cannot change an answer. A field of sampling that is null is
    not sent.
    """

    model: str
    structured: Literal["json_schema", "json_object", "none"]
    schema_limits: bool
    temperature: float | None = Field(ge=0, le=2)
    top_p: float | None = Field(gt=0, le=1)
    max_tokens: int = Field(gt=0)
    max_reasks: int = Field(ge=0)
    context: int = Field(gt=0)

    servers: int = Field(gt=0, exclude=True)
    more_endpoints: list[More] = Field(exclude=True, default=[])
    batch_rows: int = Field(ge=0, exclude=True, default=0)
    batch_poll_s: float = Field(gt=0, exclude=True, default=60.0)

    @property
    def most_tokens(self) -> int:
        """The most tokens of an answer and the reasoning before it."""
        return self.max_tokens + self.reasoning_tokens
