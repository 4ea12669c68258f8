"""Calls that may show what a Python function does: those of its documentation, then values that suit its parameters.

A call is the text of its arguments, literals all. Which ones a function gets depends on its id alone.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from stages.lib import params
from stages.lib.tasks.draws import draw_number

LONGEST = 100  # characters of a call's arguments
MOST_OF_DOCUMENTATION = 12
TRIES = 4  # draws for each call that is wanted, since some come twice


def calls(identity: str, code: str, name: str, docstring: str, most: int) -> list[str]:
    """At most `most` argument lists for the function `name` of `code`, those of its documentation first; none for a
    function that cannot be called with positional arguments, or whose results may change."""
    function = _find(code, name)
    if function is None or None in function.args.kw_defaults or _is_unsteady(code):
        return []
    documented = list(_documented(docstring, name, function))[:MOST_OF_DOCUMENTATION]
    drawn = _drawn(identity, function, most * TRIES)
    found = [call for call in dict.fromkeys([*documented, *drawn]) if len(call) <= LONGEST]
    return found[:most]


def _find(code: str, name: str) -> ast.FunctionDef | None:
    found = [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef) and node.name == name]
    return found[0] if found else None


def _is_unsteady(text: str) -> bool:
    """Whether what comes of `text` may differ another day, or on another machine."""
    nodes = list(ast.walk(ast.parse(text)))
    names = [node.id for node in nodes if isinstance(node, ast.Name)]
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names += [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
    return any(name.partition(".")[0] in _data()["unsteady"] for name in names)


def _documented(docstring: str, name: str, function: ast.FunctionDef) -> Iterator[str]:
    """The arguments of the calls with literals that stand in the documentation."""
    text = re.sub(r"^\s*\.\.\.", "", docstring, flags=re.MULTILINE)
    for found in re.finditer(rf"(?<![\w]){re.escape(name)}\(", text):
        end = _closing(text, found.end())
        try:
            call = ast.parse(" ".join(f"f({text[found.end() : end]})".split()), mode="eval").body
        except (SyntaxError, ValueError):
            continue
        if isinstance(call, ast.Call) and (arguments := _positional(call, function)) is not None:
            yield arguments


def _closing(text: str, start: int) -> int:
    depth = 1
    for place in range(start, len(text)):
        depth += (text[place] in "([{") - (text[place] in ")]}")
        if depth == 0:
            return place
    return start


def _positional(call: ast.Call, function: ast.FunctionDef) -> str | None:
    """The arguments of `call` in their order, where all are literals and none needs its keyword."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    given = list(call.args)
    for keyword in call.keywords:
        if len(given) >= len(names) or keyword.arg != names[len(given)]:
            return None
        given.append(keyword.value)
    try:
        return ", ".join(repr(ast.literal_eval(node)) for node in given)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return None


def _drawn(identity: str, function: ast.FunctionDef, count: int) -> Iterator[str]:
    parameters = [*function.args.posonlyargs, *function.args.args]
    needed = len(parameters) - len(function.args.defaults)
    spread = 3 if function.args.vararg else 0
    constants = _constants(function)
    for turn in range(count):

        def draw(what: str, below: int, turn: int = turn) -> int:
            return draw_number(f"{identity}:{turn}:{what}", below)

        optional = len(function.args.defaults)
        taken = needed + (draw("optional", optional + 1) if optional and turn % 2 else 0)
        kinds = [_kinds(one) for one in parameters[:taken]]
        if spread and taken == len(parameters):
            kinds += [_kinds(function.args.vararg)] * (1 + draw("spread", spread))
        values = []
        for place, likely in enumerate(kinds):
            pool = list(_data()["values"]) if draw(f"any {place}", 5) == 0 else likely
            kind = pool[draw(f"kind {place}", len(pool))]
            choices = _data()["values"][kind]
            if constants.get(kind) and draw(f"own {place}", 4) == 0:
                choices = constants[kind]
            values.append(choices[draw(f"value {place}", len(choices))])
        yield ", ".join(values)


def _kinds(parameter: ast.arg | None) -> list[str]:
    """The kinds of values that a parameter likely takes, by its annotation, then by its name."""
    assert parameter is not None
    annotation = ast.unparse(parameter.annotation) if parameter.annotation else ""
    for hint in _data()["hints"]:
        if "annotation" in hint and annotation and re.search(hint["annotation"], annotation):
            return list(hint["kinds"])
        if "name" in hint and re.search(hint["name"], parameter.arg):
            return list(hint["kinds"])
    return list(_data()["otherwise"])


def _constants(function: ast.FunctionDef) -> dict[str, list[str]]:
    """Values that stand in the function itself, and the whole numbers beside them: its branches turn on these."""
    found: dict[str, set[str]] = {"int": set(), "text": set()}
    for node in ast.walk(function):
        if isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) <= 1000:
            found["int"] |= {str(node.value + step) for step in (-1, 0, 1)}
        elif isinstance(node, ast.Constant) and type(node.value) is str and 0 < len(node.value) <= 12:
            found["text"].add(repr(node.value))
    return {kind: sorted(values) for kind, values in found.items()}


@cache
def _data() -> dict[str, Any]:
    return params.read(Path(__file__).with_name("values.yaml"))
