"""A model behind an OpenAI-compatible endpoint, asked through the teacher's client: its journal, pacing and budget.

A prompt goes to /v1/completions, a message of the user (the form "chat") to /v1/chat/completions, where the server
has the chat template. Each answer is journaled before it is used, so that a killed run asks for no answer twice.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.lib import teacher
from stages.lib.errors import BadInput
from stages.lib.models import decoding

MOST_STOPS = 4  # that OpenAI takes; platform.openai.com/docs/api-reference/completions/create#stop

# Fields of a request that the section `sample` has for every engine.
OWN = {
    **{name: f"sample.{name}" for name in ("temperature", "top_p")},
    "max_tokens": "sample.max_new_tokens",
    "model": "sample.endpoint.base and tuned",
}


class Endpoint(teacher.Dialect):
    """The part `endpoint` of the section `sample`; the names are those under which the models are served there."""

    base: str
    tuned: str
    max_dead_share: float = Field(ge=0, le=1)
    context: int = Field(gt=0)

    @classmethod
    def key_of(cls, name: str) -> str:
        """The key of params.yaml that sets the field `name` of a request."""
        return OWN.get(name, f"sample.endpoint.{name}")

    def model(self, key: str) -> str:
        """The served name of "base" or "tuned". Raises `BadInput` where there is none, no URL, or another key."""
        if key not in ("base", "tuned"):
            raise BadInput(
                f"params.yaml: sample.engine: an endpoint serves only base and tuned, not {key}; set another engine"
            )
        for name, value in (("base_url", self.base_url), (key, getattr(self, key))):
            if not value:
                raise BadInput(f"params.yaml: sample.engine is endpoint, but sample.endpoint.{name} is empty; set it")
        return str(getattr(self, key))

    def settings(self, model: str, drawn: decoding.Settings) -> teacher.Settings:
        """The client's settings for `model`."""
        alike = {name: getattr(self, name) for name in type(self).model_fields.keys() & teacher.Settings.model_fields}
        return teacher.Settings(
            **alike,
            model=model,
            structured="none",
            schema_limits=False,
            temperature=drawn.temperature,
            top_p=drawn.top_p,
            max_tokens=drawn.max_new_tokens,
            max_reasks=0,
            servers=self.concurrency,
        )


class Served:
    """A served model. `mark` goes into its answers' seeds: another mark makes other requests."""

    tokenizer = None  # the server has it

    def __init__(self, model: teacher.Teacher, ledger: teacher.Ledger, most_dead: float, chat: bool, mark: str) -> None:
        self._model, self._ledger, self._most_dead, self._chat, self._mark = model, ledger, most_dead, chat, mark

    def write(
        self, requests: Sequence[decoding.Request], stop: tuple[str, ...], step: str = ""
    ) -> list[decoding.Answer]:
        """The answers, in order; one that never came is empty and counted as a dead letter.

        Raises `BadInput` for more dead letters than are allowed, and what the client raises.
        """
        literal = tuple(decoding.literals(stop)[:MOST_STOPS])
        asks = (teacher.Text(f"{step} {one.key} {self._mark}", self._prompt(one.prompt), literal) for one in requests)
        written = []
        for answer in self._model.answers(asks, total=len(requests)):
            self._ledger.add(answer)
            written.append(_read(answer, stop))
        self._ledger.check(self._most_dead)
        return written

    def metrics(self, _prompts: Sequence[str]) -> dict[str, Any]:
        """What was asked and what it cost, prompts counted with every sample."""
        return self._ledger.metrics()

    def _prompt(self, text: str) -> str | list[dict[str, str]]:
        return [{"role": "user", "content": text}] if self._chat else text


@contextmanager
def connect(
    endpoint: Endpoint, name: str, drawn: decoding.Settings, *, label: str, chat: bool, mark: str, out: Path
) -> Iterator[Served]:
    """The model served as `name`, its exchanges and dead letters written to `out`."""
    settings = endpoint.settings(name, drawn)
    with teacher.connect(settings, label=label, seed=drawn.seed) as model, model.ledger(out) as ledger:
        yield Served(model, ledger, endpoint.max_dead_share, chat, mark)


def _read(answer: teacher.Answer, stop: Sequence[str]) -> decoding.Answer:
    if answer.value is None:
        return decoding.Answer("", 0, False)
    reply = answer.exchanges[-1].reply
    text, stopped = decoding.up_to_stop(reply.text, stop)
    return decoding.Answer(text, reply.completion_tokens, stopped or reply.finish == "stop")
