"""The control run of Python's tests: one of their assertions, made to fail, put to a candidate that has passed.

The tests run in a process of their own and get plain values back, so that nothing is known by which a candidate could
pass this. It costs the calls of one assertion, and would show that the wire between the two does not hold. A candidate
whose results change from call to call may pass it once by chance: forged is what passes again and again, and passes the
same assertion as it is each time.
"""

import ast
import copy
import random
from collections.abc import Callable
from typing import Any

ROUNDS = 5
REACHED = "tidemill_reached"  # called before the assertion


def write(tests: str) -> tuple[ast.Module, ast.Module] | None:
    """The tests with one assertion of `check`, drawn at random, and no other: false for a right program, and as it
    is. None where `check` holds no assertion itself."""
    tree = ast.parse(tests)
    check = next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"), None)
    found = [node for node in ast.walk(check) if isinstance(node, ast.Assert)] if check else []
    if not found:
        return None
    draw = random.SystemRandom()
    chosen = draw.choice(found)
    known = [value for node in found for _, value in _expected(node)]
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if isinstance(statements, list):
                setattr(node, name, [new for one in statements for new in _kept(one, chosen)])
    as_it_is = ast.parse(ast.unparse(tree))
    if expected := _expected(chosen):
        replace, value = expected[0]
        others = [other for other in known if _differs(value, other)]
        replace(ast.Constant(draw.choice(others) if others else _other(value, draw)))
    else:
        chosen.test = ast.UnaryOp(ast.Not(), chosen.test)
    return ast.parse(ast.unparse(tree)), as_it_is


def _kept(statement: ast.stmt, chosen: ast.Assert) -> list[ast.stmt]:
    if statement is chosen:
        return [ast.parse(f"{REACHED}(True)").body[0], statement]
    return [ast.Pass()] if isinstance(statement, ast.Assert) else [statement]


def _expected(node: ast.Assert) -> list[tuple[Callable[[ast.expr], None], Any]]:
    """The literal operand of an equality: how it is replaced, and its value."""
    test = node.test
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return []

    def right(new: ast.expr) -> None:
        test.comparators[0] = new

    def left(new: ast.expr) -> None:
        test.left = new

    for replace, operand in ((right, test.comparators[0]), (left, test.left)):
        try:
            return [(replace, ast.literal_eval(operand))]
        except (ValueError, TypeError, MemoryError, RecursionError):
            continue
    return []


def _differs(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one != other and other == other


def _other(value: Any, draw: random.Random) -> Any:
    """A value of the same type, as far as there is one, that does not equal it."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float, complex)):
        return value + draw.randrange(1, 10) if value + 1 != value and value == value else 0
    if isinstance(value, str):
        return value + draw.choice("abcdefgh")
    if isinstance(value, bytes):
        return value + b"a"
    if isinstance(value, (list, tuple)):
        items = list(copy.deepcopy(value))
        if items:
            place = draw.randrange(len(items))
            items[place] = _other(items[place], draw)
        else:
            items.append(draw.randrange(10))
        return type(value)(items)
    if isinstance(value, dict):
        return {**value, "a" * (1 + len(value)): 1} if "a" * (1 + len(value)) not in value else {}
    return {*value, "a" * 20}
