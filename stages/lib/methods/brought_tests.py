"""Tests that a row brings, as lines of `assert candidate(…) …` that judge can run.

They are asserts in Python, one by one or in one text, alone or in HumanEval's `check`; a call of the solution's
function by its name becomes one of `candidate`.
"""

import ast
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from stages.lib.tasks import unit_tests
from stages.lib.tasks.definitions import Task

CHECK = "check"  # HumanEval's function of asserts


def word(language: str) -> str:
    """The sandbox's word for `language`."""
    return str(unit_tests.languages()[language]["sandbox"])


def called(value: Any) -> str:
    """The function that the tests call by its name; "" where they call `candidate`, or are none that can be read."""
    try:
        first = next(_asserts(value), None)
    except ValueError:
        return ""
    calls = [node.func for node in ast.walk(first or ast.Module([], [])) if isinstance(node, ast.Call)]
    known = {*unit_tests.BUILTINS, "candidate"}
    return next((func.id for func in calls if isinstance(func, ast.Name) and func.id not in known), "")


def read(value: Any, solution: str, task: Task, language: str) -> list[str]:
    """The tests in `value` of the function `solution`, none if it has none. Raises `ValueError`, saying why, if they
    cannot all be run."""
    found = list(_asserts(value))
    if not found:
        return []
    if not task.solution_is_code:
        raise ValueError(f"the solution of {task.name} is no code that could be run")
    if language not in unit_tests.languages():
        raise ValueError(f"the sandbox cannot run {language}, but {', '.join(unit_tests.languages())}; take them out")
    name = unit_tests.entry_point(solution, language)
    if not name:
        raise ValueError("the output has no function that they could call")
    lines = list(dict.fromkeys(ast.unparse(_Renamed(name).visit(one)) for one in found))
    for line in lines:
        if fault := unit_tests.fault_of(line):
            raise ValueError(f"{line:.80}: {fault}; the function that is called is the output's first, {name}")
    fitting = unit_tests.runnable(solution, language, lines)[2]
    if len(fitting) < unit_tests.LEAST:
        raise ValueError(f"{len(fitting)} of {len(lines)} fit the output's function; {unit_tests.LEAST} are needed")
    return lines


class _Renamed(ast.NodeTransformer):
    """Calls the function `name` by the word `candidate`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name("candidate", node.ctx) if node.id == self._name else node


def _asserts(value: Any) -> Iterator[ast.Assert]:
    """The asserts in `value`: a text, texts, or a JSON list of texts. Raises `ValueError` for anything else."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(ValueError):  # otherwise the parser says what is wrong with it
            value = json.loads(value)
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"they are no texts but {value!r:.60}")
    for text in texts:
        try:
            body = ast.parse(text.strip()).body
        except (SyntaxError, ValueError):
            raise ValueError(f"{text.strip()!r:.60} is not Python") from None
        for node in body:
            yield from _of(node)


def _of(node: ast.stmt) -> Iterator[ast.Assert]:
    if isinstance(node, ast.FunctionDef) and node.name == CHECK:
        for inner in node.body:
            yield from _of(inner)
    elif isinstance(node, ast.Assert):
        yield node
    else:
        raise ValueError(f"{ast.unparse(node)!r:.60} is no assert")
