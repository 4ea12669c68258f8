"""The program in what a model wrote for a row with tests."""

import ast
import re
from collections.abc import Sequence

from stages.lib import sandbox
from stages.lib.tasks import unit_tests

_FENCED = re.compile(r"^[ \t]*```[ \t]*([^\s`]*)[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)


def program(text: str, tests: Sequence[str], language: str, entry_point: str) -> sandbox.Program | str:
    """The program in `text` with the `tests`, or why there is none: no function, or one that some tests do not fit."""
    code = code_of(text, entry_point)
    named = language == "Python" and _defines(code, entry_point)
    name = entry_point if named else unit_tests.entry_point(code, language)
    if not name:
        return "no function"
    whole, check, fitting = unit_tests.runnable(code, language, tests)
    if len(fitting) < len(tests):
        return "other types"
    return sandbox.Program(unit_tests.languages()[language]["sandbox"], whole, check, name)


def code_of(text: str, entry_point: str) -> str:
    """The fenced block that names the function, otherwise the first block, otherwise the whole text."""
    return block_of(text, entry_point)[1]


def block_of(text: str, entry_point: str = "") -> tuple[str, str]:
    """As `code_of`, after the word that stands behind the fence ("" without one)."""
    blocks = [(block[1], block[2]) for block in _FENCED.finditer(text)]
    return next((block for block in blocks if entry_point in block[1]), (blocks or [("", text)])[0])


def without_block(text: str) -> str:
    """`text` without its first fenced block."""
    return _FENCED.sub("", text, count=1)


def _defines(code: str, name: str) -> bool:
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in body)
