"""Python functions: what they are called with, and the program that observes them.

The calls are those of the documentation, then values that suit the parameters. A call is the text of its arguments,
literals all.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from stages.lib import params, sandbox
from stages.lib.methods.behaviour import drawing
from stages.lib.methods.behaviour.drawing import Parameter, Shape

HASH_SEEDS: tuple[int, ...] = (
    0,
    1,
    2,
)  # one of three: a set of two texts has the same order under two seeds half the time
RAISES = "raises"  # what a person who reads the language calls it
UNTOLD: tuple[str, ...] = ("None",)  # results that no test is made of
FOLDER = Path(__file__).parent


def calls(identity: str, code: str, name: str, docstring: str, most: int) -> list[str]:
    """At most `most` argument lists for the function `name` of `code`, those of its documentation first; none for a
    function that cannot be called with positional arguments, or whose results may change."""
    function = _find(code, name)
    if function is None or None in function.args.kw_defaults or _is_unsteady(code):
        return []
    return drawing.calls(_documented(docstring, name, function), identity, _shape(function), _data(), most)


def program(codes: Sequence[str], name: str, called: Sequence[str]) -> sandbox.Program:
    """Calls the function `name` of each of `codes` with every one of `called`; its detail is what trial.py tells."""
    before = "from __future__ import annotations\n"
    arguments = f"{[before + code for code in codes]!r}, {name!r}, {list(called)!r}"
    check = f"import json\n\ndef check(candidate):\n    return json.dumps(candidate({arguments}))\n"
    return sandbox.Program("python", (FOLDER / "trial.py").read_text(encoding="utf-8"), check, "tidemill_trial")


def spoken(literals: str) -> str:
    """`literals`, Python's, as a person who reads the language writes them."""
    return literals


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
        end = drawing.closing(text, found.end())
        try:
            call = ast.parse(" ".join(f"f({text[found.end() : end]})".split()), mode="eval").body
        except (SyntaxError, ValueError):
            continue
        if isinstance(call, ast.Call) and (arguments := _positional(call, function)) is not None:
            yield arguments


def _positional(call: ast.Call, function: ast.FunctionDef) -> str | None:
    """The arguments of `call` in their order, where all are literals and none needs its keyword."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    given = list(call.args)
    for keyword in call.keywords:
        if len(given) >= len(names) or keyword.arg != names[len(given)]:
            return None
        given.append(keyword.value)
    try:
        return ", ".join(map(_literal, given))
    except (ValueError, TypeError, MemoryError, RecursionError):
        return None


def _literal(node: ast.expr) -> str:
    """As repr() writes it; a set as its source does, since its own order differs from run to run."""
    value = ast.literal_eval(node)
    return ast.unparse(node) if any(isinstance(one, ast.Set) for one in ast.walk(node)) else repr(value)


def _shape(function: ast.FunctionDef) -> Shape:
    arguments = [*function.args.posonlyargs, *function.args.args]
    spread = _parameter(function.args.vararg) if function.args.vararg else None
    constants = drawing.constants(node.value for node in ast.walk(function) if isinstance(node, ast.Constant))
    return Shape(list(map(_parameter, arguments)), len(function.args.defaults), spread, constants)


def _parameter(argument: ast.arg) -> Parameter:
    return Parameter(argument.arg, ast.unparse(argument.annotation) if argument.annotation else "")


@cache
def _data() -> dict[str, Any]:
    return params.read(FOLDER / "values.yaml")
