"""What a condition of a test says: its contrary, and the operands of which it says that they are equal."""

import re
from collections.abc import Iterator

from stages.lib.sandbox.tokens import CLOSE, OPEN, Token, arguments, closing, tokens

# Functions of two values that hold for equal ones alone.
SAME = re.compile(
    r"(?:\b(?:issame|sameTidemill|isDeepStrictEqual|ObjectsAreEqual\w*)|\bObjects\s*\.\s*(?:deepE|e)quals)\Z"
)
NEAR = re.compile(r"\s*(?:1e-\d+|0?\.0+1\b)")  # the tolerance of a comparison of numbers


def negate(condition: str, language: str) -> str:
    """What holds where `condition` does not. A leading `!` is taken away, not doubled: an operator of the candidate's
    that says yes to both is then found out."""
    pieces = tokens(condition, language)
    if pieces[0].text == "!" and not _binary(pieces[1:]):
        return bare(condition[pieces[0].end :].strip(), language)
    if language == "cpp":
        return f"({condition}) ? false : true"
    return f"!({condition})"


def _binary(pieces: list[Token]) -> bool:
    depth = 0
    for piece in pieces:
        depth += (piece.text in OPEN) - (piece.text in CLOSE)
        if depth == 0 and piece.text in ("==", "===", "!=", "!==", "&&", "||", "<", ">", "<=", ">=", "?"):
            return True
    return False


def bare(condition: str, language: str) -> str:
    """The condition without brackets around all of it."""
    pieces = tokens(condition, language)
    if pieces[0].text == "(" and closing(pieces, 0) == len(pieces) - 1:
        return bare(condition[pieces[0].end : pieces[-1].at].strip(), language)
    return condition


def operands(condition: str, language: str) -> Iterator[tuple[int, int]]:
    """Where the operands of an equality stand, if `condition` is one as a whole."""
    pieces = tokens(condition, language)
    depth, equal, other = 0, [], []
    for piece in pieces:
        depth += (piece.text in OPEN) - (piece.text in CLOSE)
        if depth == 0 and piece.text in ("==", "==="):
            equal.append(piece)
        elif depth == 0 and piece.text in ("&&", "||", "?", "!=", "!==", "??", "=>"):
            other.append(piece)
    if other or len(equal) > 1:
        return
    if equal:
        yield equal[0].end, len(condition)
        yield 0, equal[0].at
        return
    yield from _of_call(condition, pieces)
    yield from _of_difference(condition, language)


def _of_call(condition: str, pieces: list[Token]) -> Iterator[tuple[int, int]]:
    """same(A, B), assert_eq!(A, B), A.equals(B)."""
    last = len(pieces) - 1
    start = next((n for n in range(last) if pieces[n].text == "(" and closing(pieces, n) == last), None)
    if start is None or start == 0 or pieces[0].text == "!":
        return
    before = condition[: pieces[start].at].rstrip()
    given = arguments(condition, pieces, start)
    if (SAME.search(before) or before == "assert_eq!") and len(given) == 2:
        comma = pieces[start].end + len(given[0])
        yield pieces[start].end, comma
        yield comma + 1, pieces[last].at
    elif before.endswith(".equals") and len(given) == 1 and not _binary(pieces):
        yield pieces[start].end, pieces[last].at


def _of_difference(condition: str, language: str) -> Iterator[tuple[int, int]]:
    """abs(A - B) < 1e-6, (A - B).abs() < 1e-6."""
    pieces = tokens(condition, language)
    start = next((n for n, one in enumerate(pieces) if one.text == "("), None)
    if start is None:
        return
    end = closing(pieces, start)
    before, after = condition[: pieces[start].at], condition[pieces[end].end :]
    named = re.fullmatch(r"\s*(?:std::|f64::|f32::|Math\.|math\.)?f?[aA]bs\s*", before) or (
        not before.strip() and re.match(r"\s*\.\s*abs\(\)", after)
    )
    bound = re.match(r"(?:\s*\.\s*abs\(\))?\s*<=?", after)
    if not (named and bound and NEAR.match(after[bound.end() :])):
        return
    depth = 0
    for index in range(start + 1, end):
        depth += (pieces[index].text in OPEN) - (pieces[index].text in CLOSE)
        if depth == 0 and pieces[index].text == "-" and index > start + 1:
            yield pieces[index].end, pieces[end].at
            return
