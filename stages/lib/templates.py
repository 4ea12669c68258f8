"""Jinja templates: prompts, which must come out to the letter, and the cards of datasets and models.

A card is the README.md with the front matter that the Hugging Face hub and its libraries read. Formats:
https://huggingface.co/docs/hub/datasets-cards and https://huggingface.co/docs/hub/model-cards
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from stages.lib.errors import BadInput


def render(template: Path, facts: dict[str, Any]) -> str:
    """The card that the Jinja file `template` makes of `facts`; a fact that it names and does not get is an error."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(template.read_text(encoding="utf-8")).render(facts)


def prompt(template: Path, **values: Any) -> str:
    """The prompt that the Jinja file `template` makes of `values`. Raises `BadInput`, naming the file."""
    return _fill(template.read_text(encoding="utf-8"), str(template), values)


def expand(template: str, **values: Any) -> str:
    """The text of `template`, a value of a YAML file, with `values`. Raises `BadInput`, naming the template."""
    return _fill(template, repr(template), values)


def conversation(system: str, examples: Iterable[tuple[str, str]], question: str) -> list[dict[str, str]]:
    """Chat messages: the `system` message ("": none), each of the `examples` as a question and its answer, and the
    `question`."""
    messages = [{"role": "system", "content": system}] if system else []
    for asked, said in examples:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return [*messages, {"role": "user", "content": question}]


def replace_line(code: str, line: str, other: str) -> str:
    """`code` with the line whose text is `line` replaced by `other`, its indentation kept."""
    lines = code.split("\n")
    for number, text in enumerate(lines):
        if text.strip() == line.strip():
            lines[number] = text[: len(text) - len(text.lstrip())] + other.strip()
            return "\n".join(lines)
    return code


def _fill(template: str, where: str, values: dict[str, Any]) -> str:
    from jinja2 import TemplateError

    try:
        return str(_environment().from_string(template).render(**values))
    except TemplateError as error:
        raise BadInput(f"{where}: {error}") from None


@cache
def _environment() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=False)
    environment.filters["replace_line"] = replace_line
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment
