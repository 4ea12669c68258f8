"""The names of what can be measured: catalog.yaml."""

import difflib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from stages.lib import params
from stages.lib.errors import BadInput

FILE = Path(__file__).with_name("catalog.yaml")


@cache
def read() -> dict[str, dict[str, Any]]:
    """`groups` (what `measure` computes) and `figures` (what a comparison shows), by name."""
    return params.read(FILE)


def check(names: Iterable[str], kind: str, where: str) -> None:
    """Raise `BadInput` for a name that is not among the catalogue's `kind`, naming `where` and the known ones."""
    known = list(read()[kind])
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise BadInput(f"{where}: unknown metric {name!r}{meant}; known: {', '.join(known)}")
