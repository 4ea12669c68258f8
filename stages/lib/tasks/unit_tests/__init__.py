"""Tests that the teacher writes for a candidate's solution: the question, and which answers may run.

A test is one Python line, `assert candidate(…) == …`, whatever the solution's language; programs.py translates it. It
may contain only built-in functions and values, so that it can neither reach the process it runs in nor fake the
outcome.
"""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from stages.lib import templates
from stages.lib.corpus import functions
from stages.lib.errors import BadInput
from stages.lib.tasks.definitions import load_task
from stages.lib.tasks.unit_tests import programs
from stages.lib.tasks.unit_tests.languages import languages

FOLDER = Path(__file__).parent
LEAST = 2  # a row with fewer tests gets none
BUILTINS = frozenset(
    function.__name__
    for function in (
        *(abs, all, any, bool, dict, enumerate, float, frozenset, int, isinstance, len, list, map, max, min, range),
        *(repr, reversed, round, set, sorted, str, sum, tuple, zip),
    )
)
METHODS = frozenset(
    name for kind in (str, bytes, list, dict, set, tuple, int, float) for name in dir(kind) if name[0] != "_"
)
Row = Mapping[str, Any]


def check_languages(wanted: list[str]) -> list[str]:
    """`wanted`. Raises `BadInput` for a language in which functions cannot be run."""
    if unknown := [name for name in wanted if name not in languages()]:
        raise BadInput(f"generate.tests.languages: {unknown[0]!r} cannot be run; known: {', '.join(languages())}")
    return wanted


Languages = Annotated[list[str], AfterValidator(check_languages)]  # for a key of params.yaml


def entry_point(code: str, language: str) -> str:
    """The name to call the function `code` by; "" if it cannot be called alone: Python's methods and coroutines, and
    functions whose types tests cannot express."""
    if language != "Python":
        name = next((found.name for found in functions.extract(code, language)), "")
        return name if name and programs.signature(code, name, language) else ""
    try:
        defined = [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    except (SyntaxError, ValueError):
        return ""
    if not defined:
        return ""
    arguments = [argument.arg for argument in (*defined[0].args.posonlyargs, *defined[0].args.args)]
    return "" if arguments[:1] in (["self"], ["cls"]) else defined[0].name


def wanted(row: Row, names: list[str]) -> bool:
    """Whether a candidate gets tests: its solution is a function in one of the languages `names`."""
    return (
        load_task(row["task"]).solution_is_code
        and row["target_language"] in names
        and bool(entry_point(row["solution"], row["target_language"]))
    )


def messages(row: Row, count: int) -> list[dict[str, str]]:
    """The question for `count` tests. A translation is tested by its source, which is correct."""
    translated = row["target_language"] != row["language"]
    language = row["language"] if translated else row["target_language"]
    code = row["information"] if translated else row["solution"]
    user = templates.prompt(
        FOLDER / "user.j2",
        language=language,
        code=code,
        broken=row["information"] if load_task(row["task"]).information_is_broken else "",
        count=count,
        name=entry_point(code, language) or "the function",
    )
    system = templates.prompt(FOLDER / "system.j2", count=count)
    return templates.conversation(system, [], user)


def schema(count: int) -> dict[str, Any]:
    """The JSON schema of the answer."""
    line = {"type": "string", "pattern": r'^assert candidate\([^"\\\n]{0,120}\) (==|is) [^"\\\n]{1,120}$'}
    tests = {"type": "array", "items": line, "minItems": LEAST, "maxItems": count}
    return {"type": "object", "properties": {"tests": tests}, "required": ["tests"], "additionalProperties": False}


def objection(answer: dict[str, Any]) -> str:
    """What is wrong with the first test that may not be run, or ""."""
    return next((f"{line!r}: {fault}" for line in answer["tests"] if (fault := fault_of(line))), "")


def usable(answer: dict[str, Any] | None) -> list[str]:
    """An answer's distinct valid tests; none if there are fewer than `LEAST`."""
    lines = list(dict.fromkeys(line.strip() for line in (answer or {"tests": []})["tests"] if not fault_of(line)))
    return lines if len(lines) >= LEAST else []


def fault_of(line: str) -> str:
    """Why `line` may not be run as a test, or ""."""
    try:
        tree = ast.parse(line.strip())
    except (SyntaxError, ValueError):
        return "it is not Python"
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Assert):
        return "it is not one assert"
    names = {node.id: node for node in ast.walk(tree) if isinstance(node, ast.Name)}
    own = {name for name, node in names.items() if isinstance(node.ctx, ast.Store)}
    if "candidate" not in names or "candidate" in own:
        return "it does not call candidate"
    if strange := sorted(names.keys() - own - BUILTINS - {"candidate"}):
        return f"it uses {strange[0]}, which is no built-in value or function"
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    if strange := sorted(attributes - METHODS):
        return f"it uses .{strange[0]}, which is no method of a built-in type"
    return ""


def runnable(code: str, language: str, lines: Sequence[str]) -> tuple[str, str, list[str]]:
    """The function `code` as a program, a test program of the applicable `lines`, and those lines."""
    if language == "Python":
        return languages()[language]["prelude"] + code, python_tests(lines), list(lines)
    called = programs.signature(code, entry_point(code, language), language)
    conditions = programs.translate(lines, called, language) if called else {}
    return programs.candidate(code, language), programs.program(conditions.values(), language), list(conditions)


def python_tests(lines: Sequence[str]) -> str:
    """The lines as the function `check` that the sandbox calls."""
    return "\n".join(["def check(candidate):", *(f"    {line}" for line in lines)])
