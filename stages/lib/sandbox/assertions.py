"""Finds the assertions of a test program."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stages.lib.sandbox.conditions import negate
from stages.lib.sandbox.tokens import OPEN, Token, arguments, closing, tokens


@dataclass(frozen=True)
class Assertion:
    """The text from `start` to `end` stands for a check that `condition` holds; `form` for what it is replaced with,
    SITE in it for an expression that is true."""

    start: int
    end: int
    condition: str
    form: str = "SITE"


def find(tests: str, language: str) -> list[Assertion]:
    """The assertions of a test program, in order; none overlaps another."""
    pieces = tokens(tests, language)
    return list(_FIND[language](tests, pieces))


def _cpp(tests: str, pieces: list[Token]) -> Iterator[Assertion]:
    for index, piece in enumerate(pieces[:-1]):
        if piece.text == "assert" and pieces[index + 1].text == "(":
            end = closing(pieces, index + 1)
            yield Assertion(piece.at, pieces[end].end, tests[pieces[index + 1].end : pieces[end].at].strip())


def _javascript(tests: str, pieces: list[Token]) -> Iterator[Assertion]:
    for index, piece in enumerate(pieces[:-3]):
        if [one.text for one in pieces[index : index + 4]] == ["console", ".", "assert", "("]:
            given = arguments(tests, pieces, index + 3)
            if given:
                yield Assertion(piece.at, pieces[closing(pieces, index + 3)].end, given[0].strip())


def _go(tests: str, pieces: list[Token]) -> Iterator[Assertion]:
    for index, piece in enumerate(pieces[:-3]):
        words = [one.text for one in pieces[index : index + 4]]
        if words == ["assert", ".", "Equal", "("]:
            given = arguments(tests, pieces, index + 3)
            condition = f"testify.ObjectsAreEqual({given[0]}, {given[1]})"
            yield Assertion(piece.at, pieces[closing(pieces, index + 3)].end, condition, "_ = SITE")
        elif piece.text == "if":
            body = _body(pieces, index + 1)
            if re.match(r"\{\s*t\.(?:Fail|FailNow|Fatalf?|Errorf?)\(", tests[pieces[body].at :]):
                failing = tests[piece.end : pieces[body].at].strip()
                yield Assertion(piece.at, pieces[closing(pieces, body)].end, negate(failing, "go"), "_ = SITE")


def _body(pieces: list[Token], index: int) -> int:
    """The index of the first bracket `{` from `index` on that stands in no other: in Go a condition has none."""
    while index < len(pieces) - 1 and pieces[index].text != "{":
        index = closing(pieces, index) + 1 if pieces[index].text in OPEN else index + 1
    return index


def _java(tests: str, pieces: list[Token]) -> Iterator[Assertion]:
    """The elements of a list of booleans that is then looked through for a false one; what is thrown under an if."""
    for index, piece in enumerate(pieces[:-1]):
        if piece.text == "if":
            end = closing(pieces, index + 1)
            failing = tests[pieces[index + 1].end : pieces[end].at].strip()
            thrown = re.match(r"\s*\{?\s*throw\s+new\s+AssertionError\s*\([^;]*;\s*", tests[pieces[end].end :])
            if thrown and not failing.endswith(".contains(false)"):
                stop = pieces[end].end + thrown.end() + ("{" in thrown[0].partition("throw")[0])
                yield Assertion(piece.at, stop, negate(failing, "java"), "if (!(SITE)) throw new AssertionError();")
        elif re.search(r"List<Boolean>\s+\w+\s*=\s*Arrays\s*\.\s*\Z", tests[: piece.at]) and piece.text == "asList":
            at = pieces[index + 1].end
            for given in arguments(tests, pieces, index + 1):
                begin = tests.index(given, at)
                at = begin + len(given)
                lead = len(given) - len(given.lstrip())
                yield Assertion(begin + lead, begin + len(given.rstrip()), given.strip())


def _rust(tests: str, pieces: list[Token]) -> Iterator[Assertion]:
    for index, piece in enumerate(pieces[:-2]):
        if piece.text not in ("assert", "assert_eq", "assert_ne") or pieces[index + 1].text != "!":
            continue
        given = arguments(tests, pieces, index + 2)
        condition = given[0].strip() if piece.text == "assert" else f"{piece.text}!({given[0]}, {given[1]})"
        yield Assertion(piece.at, pieces[closing(pieces, index + 2)].end, condition)


_FIND = {"cpp": _cpp, "go": _go, "java": _java, "javascript": _javascript, "rust": _rust}
