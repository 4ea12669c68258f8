"""The `teacher` part of a section of params.yaml."""

from typing import Literal

from pydantic import Field

from stages.lib.params import Section

EMBEDDED = "embedded"


class Price(Section):
    """US dollars per million tokens."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)


class Settings(Section):
    """One model behind one endpoint. Fields with `exclude` cannot change an answer, only its way here."""

    model: str
    structured: Literal["json_schema", "json_object", "none"]
    schema_limits: bool
    temperature: float = Field(ge=0, le=2)
    top_p: float = Field(gt=0, le=1)
    max_tokens: int = Field(gt=0)
    max_reasks: int = Field(ge=0)
    context: int = Field(gt=0)

    base_url: str = Field(exclude=True)
    api_key_env: str = Field(exclude=True)
    free: bool = Field(exclude=True)
    prices: dict[str, Price] = Field(exclude=True)
    budget_usd: float = Field(ge=0, exclude=True)
    concurrency: int = Field(gt=0, exclude=True)
    servers: int = Field(gt=0, exclude=True)
    timeout_s: float = Field(gt=0, exclude=True)
    patience_s: float = Field(gt=0, exclude=True)
    max_attempts: int = Field(gt=0, exclude=True)
