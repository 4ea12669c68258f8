"""What JSDoc tells of a function: its parameters' types, and the calls in its examples."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stages.lib.methods.behaviour import drawing
from stages.lib.methods.behaviour.javascript.literals import NoLiteral, arguments

# @param {string} name, {number} [size=1], {boolean=} deep; a type may hold braces.
_PARAMETER = re.compile(r"@param\s+(?:\{((?:[^{}]|\{[^{}]*\})*)\}\s*)?(\[?)\s*([\w$]+)(?![\w$]|\s*\.)")
_FUNCTION = re.compile(r"(?i)function|callback|=>")


@dataclass(frozen=True)
class Documented:
    """A parameter's type, "" where none is told, and whether it may be left out."""

    type: str
    optional: bool


def parameters(docstring: str) -> dict[str, Documented]:
    """By name."""
    return {
        name: Documented(kind.strip(), bool(bracket) or kind.strip().endswith("="))
        for kind, bracket, name in reversed(_PARAMETER.findall(docstring))  # the first of a name is what counts
    }


def is_function(kind: str) -> bool:
    """Whether values of this type are functions, and nothing else is."""
    return bool(kind) and all(_FUNCTION.search(one) for one in kind.strip("()").split("|"))


def calls(docstring: str, name: str) -> Iterator[str]:
    """The arguments of the calls in the documentation, Python literals, where all are literals or variables that were
    set to one before; a private function `_name` is documented as `name`."""
    found = rf"(?<![\w$])(?:{re.escape(name)}|{re.escape(name.lstrip('_') or name)})\s*\("
    known: dict[str, Any] = {}
    for one in re.finditer(rf"\b(?:var|let|const)\s+([\w$]+)\s*=\s*(?!=)|{found}", docstring):
        try:
            if one[1]:
                known.pop(one[1], None)
                known[one[1]] = arguments(_expression(docstring, one.end()), known)[0]
            else:
                end = drawing.closing(docstring, one.end())
                yield ", ".join(map(repr, arguments(docstring[one.end() : end], known)))
        except (NoLiteral, IndexError):
            continue


def _expression(text: str, start: int) -> str:
    """From `start` to the end of the statement: a semicolon or line's end outside of brackets."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] in "([{") - (text[place] in ")]}")
        if depth <= 0 and text[place] in ";\n":
            return text[start:place]
    return text[start:]
