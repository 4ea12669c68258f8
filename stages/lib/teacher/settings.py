"""The `teacher` part of a section of params.yaml."""

from typing import Literal

from pydantic import Field

from stages.lib.params import Section

EMBEDDED = "embedded"


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


class Settings(Access):
    """One model behind one endpoint. Fields with `exclude` cannot change an answer."""

    model: str
    structured: Literal["json_schema", "json_object", "none"]
    schema_limits: bool
    temperature: float = Field(ge=0, le=2)
    top_p: float = Field(gt=0, le=1)
    max_tokens: int = Field(gt=0)
    max_reasks: int = Field(ge=0)
    context: int = Field(gt=0)

    servers: int = Field(gt=0, exclude=True)
    more_endpoints: list[More] = Field(exclude=True, default=[])
    batch_rows: int = Field(ge=0, exclude=True, default=0)
    batch_poll_s: float = Field(gt=0, exclude=True, default=60.0)
