"""The licence that a folder's own files state: by the texts of licensetexts.yaml, or its package's metadata."""

import json
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from stages.lib.corpus import licenses

UNKNOWN = "NOASSERTION"  # SPDX's word for a licence that nobody has made out
POINTER = 60  # words of a file that says no more than where the licences are
SLACK = 120  # words beside a licence's own, such as who holds the copyright
_TEXT = re.compile(r"(?i)(?:un)?licen[cs]e(?:[._-].*)?|copying(?:[._-].*)?")
_METADATA = ("pyproject.toml", "Cargo.toml", "package.json")
_TABLE = Path(__file__).with_name("licensetexts.yaml")


def may_state(path: str) -> bool:
    """Whether a file of this path says what licence its folder is under."""
    name = PurePosixPath(path).name
    return name in _METADATA or (bool(_TEXT.fullmatch(name)) and not name.endswith((".py", ".js", ".go", ".json")))


def stated(files: Mapping[str, bytes]) -> str | None:
    """The SPDX expression that the files of one folder state: "" for a text that we don't know, None for no word of it.

    Several texts all hold, unless the metadata gives a choice of just these.
    """
    texts = [data for path, data in files.items() if PurePosixPath(path).name not in _METADATA]
    metadata = (_declared(PurePosixPath(path).name, data) for path, data in sorted(files.items()))
    declared = [expression for expression in metadata if expression]
    if not texts:
        return declared[0] if declared else None
    known = [recognize(text) for text in texts]
    found = set[str]().union(*known)
    if not found or any(not one and _words(text) > POINTER for one, text in zip(known, texts, strict=True)):
        return ""
    choice = (expression for expression in declared if _symbols(expression) == found)
    return next(choice, " AND ".join(sorted(found)))


def recognize(text: bytes) -> set[str]:
    """The licences whose texts these are; none if there is much beside them."""
    plain = _plain(text)
    found = {
        name: entry["words"]
        for name, entry in _known().items()
        if all(re.search(says, plain) for says in entry["says"])
        and not any(re.search(says, plain) for says in entry.get("without", []))
    }
    return set(found) if _words(text) <= sum(found.values()) + SLACK else set()


def _plain(text: bytes) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.decode(errors="replace").lower()))


def _words(text: bytes) -> int:
    return len(_plain(text).split())


def _declared(name: str, data: bytes) -> str:
    """The expression in a package's metadata, or ""."""
    try:
        if name == "package.json":
            said = json.loads(data).get("license")
        elif name in _METADATA:
            held = tomllib.loads(data.decode())
            project = held.get("project") or held.get("package") or held.get("tool", {}).get("poetry") or {}
            said = project.get("license")
        else:
            return ""
    except (ValueError, AttributeError, RecursionError):
        return ""
    said = said.get("text") if isinstance(said, dict) else said
    expression = said.replace("/", " OR ") if isinstance(said, str) else ""
    return expression if _symbols(expression) else ""


def _symbols(expression: str) -> set[str]:
    """The licences in the expression; none unless SPDX knows them all."""
    parsed = licenses.parse(expression)
    if parsed is None or not licenses.is_known(parsed):
        return set()
    return {symbol.key for symbol in parsed.symbols}


@cache
def _known() -> dict[str, Any]:
    from ruamel.yaml import YAML

    return dict(YAML(typ="safe", pure=True).load(_TABLE))
