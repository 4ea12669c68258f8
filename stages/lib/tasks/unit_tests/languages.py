"""The languages in which a solution can be run, as languages.yaml defines them."""

from functools import cache
from pathlib import Path
from typing import Any

from stages.lib import params


@cache
def languages() -> dict[str, dict[str, Any]]:
    """By language, what languages.yaml says."""
    return params.read(Path(__file__).with_name("languages.yaml"))
