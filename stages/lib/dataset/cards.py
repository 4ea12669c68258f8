"""The dataset card."""

from pathlib import Path
from typing import Any

from stages.lib import templates

CARD = Path(__file__).with_name("card.md.j2")


def render(facts: dict[str, Any]) -> str:
    """README.md of data/dataset."""
    return templates.render(CARD, facts)
