"""Dataset and model cards: README.md with the front matter that the Hugging Face hub and its libraries read.

Formats: https://huggingface.co/docs/hub/datasets-cards and https://huggingface.co/docs/hub/model-cards
"""

from pathlib import Path
from typing import Any


def render(template: Path, facts: dict[str, Any]) -> str:
    """The card that the Jinja file `template` makes of `facts`; a fact that it names and does not get is an error."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(template.read_text(encoding="utf-8")).render(facts)
