"""Writes, for an assertion, one that a right program fails.

Two ways, chosen by what the assertion looks like:
    an expected value is changed    f(1) == 2    f(1) == 5
    the condition is negated        f(1) < 2     not f(1) < 2
A value is changed only where equality with the old one rules out equality with the new one: in an operand of an
equality that holds nothing but literals and constructors, or as a whole (WHOLE).
"""

import random
import re

from stages.lib.sandbox import conditions
from stages.lib.sandbox.conditions import bare, negate
from stages.lib.sandbox.literals import is_plain, other_value, places
from stages.lib.sandbox.tokens import tokens

# What is unequal to an OPERAND that is no literal, whatever a right program compares it with.
WHOLE = {
    "cpp": ' (OPERAND + "a")',
    "go": " []any{OPERAND}",
    "java": '(OPERAND) + "a"',
    "javascript": " (OPERAND) + 'a'",
    "rust": ' format!("{}a", OPERAND)',
}


def strings(tests: str) -> frozenset[str]:
    """The names of the C++ and Rust variables that a test program declares as strings."""
    found = re.findall(r"\bstring\s+(\w+)\s*=|\blet\s+(?:mut\s+)?(\w+)(?:\s*:\s*String\s*=|\s*=\s*String::)", tests)
    return frozenset(name for pair in found for name in pair if name)


def expected(condition: str, language: str) -> list[str]:
    """The literals of an equality's operands that hold nothing else: what the tests expect."""
    condition = bare(condition, language)
    operands = (tokens(condition[start:end], language) for start, end in conditions.operands(condition, language))
    return [pieces[n].text for pieces in operands if is_plain(pieces) for n in places(pieces)]


def change(
    condition: str, language: str, texts: frozenset[str], known: list[str], draw: random.Random
) -> tuple[str, bool]:
    """A condition that is false where `condition` holds, and whether an expected value was changed for it.

    texts: variables that hold a string; known: what else the tests expect, from which the other value is drawn if it
    can.
    """
    condition = bare(condition, language)
    operands = list(conditions.operands(condition, language))
    for start, end in operands:
        operand = condition[start:end]
        pieces = tokens(operand, language)
        if ";" in operand or not is_plain(pieces) or not (found := places(pieces)):
            continue
        one = pieces[draw.choice(found)]
        changed = operand[: one.at] + other_value(one, known, draw) + operand[one.end :]
        return condition[:start] + changed + condition[end:], True
    calls = not re.search("===?", condition) or language == "javascript"
    for start, end in sorted(operands, key=lambda place: "(" in condition[slice(*place)]):
        operand = condition[start:end].strip()
        if operand in texts or (language in ("go", "java", "javascript") and calls and "<" not in condition):
            return condition[:start] + WHOLE[language].replace("OPERAND", operand) + condition[end:], True
    return negate(condition, language), False
