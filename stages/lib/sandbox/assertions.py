"""Finds the assertions of a test program and writes, for each, one that a right program fails.

Two ways, chosen by what the assertion looks like:
    an expected value is changed    f(1) == 2    f(1) == 5
    the condition is negated        f(1) < 2     not f(1) < 2
A value is changed only where equality with the old one rules out equality with the new one: in an operand of an
equality that holds literals and constructors alone, or as a whole (WHOLE).
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<text>"(?:\\.|[^"\\\n])*"|(?P<quote>')(?:\\[^\n][^'\n]*|[^'\\\n])'|`[^`]*`)
    |(?P<number>(?<![\w.])\d[\w.]*(?:(?<=[eE])[+-]\d+)?)
    |(?P<word>[A-Za-z_]\w*)
    |(?P<mark>===|!==|==|!=|<=|>=|&&|\|\||->|=>|::|\S)""",
    re.VERBOSE | re.DOTALL,
)
JAVASCRIPT = re.compile(TOKEN.pattern.replace(r"(?:\\[^\n][^'\n]*|[^'\\\n])'", r"(?:\\.|[^'\\\n])*'"), TOKEN.flags)
OPEN, CLOSE = "([{", ")]}"
NUMBER = re.compile(r"(\d+)(\.\d+)?([iu](?:8|16|32|64|128|size)|f32|f64|[lLfFdD])?")
# Words that an expected value may be made of: two such expressions that differ in one literal are not equal.
PLAIN = frozenset(
    re.findall(
        r"\w+",
        """true false string vector map pair tuple std int long float double char bool size_t int64_t value of_tidemill
        Arrays asList List of new ArrayList Boolean Integer Long Double Character String Optional
        JSON stringify HashMap interface rune byte int32 int64 float32 float64 uint uint32 uint64 any
        vec Vec Some Ok Err from to_string to_owned i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 usize isize f32 f64 Box""",
    )
)
# Functions of two values that hold for equal ones alone.
SAME = re.compile(
    r"(?:\b(?:issame|sameTidemill|isDeepStrictEqual|ObjectsAreEqual\w*)|\bObjects\s*\.\s*(?:deepE|e)quals)\Z"
)
# What is unequal to an OPERAND that is no literal, whatever a right program compares it with.
WHOLE = {
    "cpp": ' (OPERAND + "a")',
    "go": " []any{OPERAND}",
    "java": '(OPERAND) + "a"',
    "javascript": " (OPERAND) + 'a'",
    "rust": ' format!("{}a", OPERAND)',
}
NEAR = re.compile(r"\s*(?:1e-\d+|0?\.0+1\b)")  # the tolerance of a comparison of numbers


@dataclass(frozen=True)
class Token:
    """A piece of a program, comments left out; `at` is where it begins."""

    kind: str
    text: str
    at: int

    @property
    def end(self) -> int:
        return self.at + len(self.text)


@dataclass(frozen=True)
class Assertion:
    """The text from `start` to `end` stands for a check that `condition` holds; `form` for what it is replaced with,
    SITE in it for an expression that is true."""

    start: int
    end: int
    condition: str
    form: str = "SITE"


def tokens(text: str, language: str) -> list[Token]:
    """The program's pieces in order."""
    pattern = JAVASCRIPT if language == "javascript" else TOKEN
    found = (Token(match.lastgroup or "", match[0], match.start()) for match in pattern.finditer(text))
    return [
        Token("text" if one.kind == "quote" else one.kind, one.text, one.at) for one in found if one.kind != "comment"
    ]


def closing(pieces: list[Token], start: int) -> int:
    """The index of the bracket that closes the one at `start`; the last index where none does."""
    depth = 0
    for index in range(start, len(pieces)):
        depth += (pieces[index].text in OPEN) - (pieces[index].text in CLOSE)
        if depth == 0:
            return index
    return len(pieces) - 1


def arguments(text: str, pieces: list[Token], start: int) -> list[str]:
    """The texts between the commas of the bracket at index `start`."""
    end = closing(pieces, start)
    found, begin, depth = [], pieces[start].end, 0
    for piece in pieces[start + 1 : end]:
        depth += (piece.text in OPEN) - (piece.text in CLOSE)
        if piece.text == "," and depth == 0:
            found.append(text[begin : piece.at])
            begin = piece.end
    last = text[begin : pieces[end].at]
    return [*found, last] if last.strip() else found


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


def negate(condition: str, language: str) -> str:
    """What holds where `condition` does not. A leading `!` is taken away, not doubled: an operator of the candidate's
    that says yes to both is then found out."""
    pieces = tokens(condition, language)
    if pieces[0].text == "!" and not _binary(pieces[1:]):
        return _bare(condition[pieces[0].end :].strip(), language)
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


def strings(tests: str) -> frozenset[str]:
    """The names of the C++ and Rust variables that a test program declares as strings."""
    found = re.findall(r"\bstring\s+(\w+)\s*=|\blet\s+(?:mut\s+)?(\w+)(?:\s*:\s*String\s*=|\s*=\s*String::)", tests)
    return frozenset(name for pair in found for name in pair if name)


def literals(condition: str, language: str) -> list[str]:
    """The literals of an equality's operands that hold nothing else: what the tests expect."""
    condition = _bare(condition, language)
    operands = (tokens(condition[start:end], language) for start, end in _operands(condition, language))
    return [pieces[n].text for pieces in operands if _is_plain(pieces) for n in _places(pieces)]


def change(
    condition: str, language: str, texts: frozenset[str], known: list[str], draw: random.Random
) -> tuple[str, bool]:
    """A condition that is false where `condition` holds, and whether an expected value was changed for it.

    texts: variables that hold a string; known: what else the tests expect, from which the other value is drawn if it
    can.
    """
    condition = _bare(condition, language)
    operands = list(_operands(condition, language))
    for start, end in operands:
        operand = condition[start:end]
        pieces = tokens(operand, language)
        if ";" in operand or not _is_plain(pieces) or not (places := _places(pieces)):
            continue
        one = pieces[draw.choice(places)]
        changed = operand[: one.at] + _other(one, known, draw) + operand[one.end :]
        return condition[:start] + changed + condition[end:], True
    calls = not re.search("===?", condition) or language == "javascript"
    for start, end in sorted(operands, key=lambda place: "(" in condition[slice(*place)]):
        operand = condition[start:end].strip()
        if operand in texts or (language in ("go", "java", "javascript") and calls and "<" not in condition):
            return condition[:start] + WHOLE[language].replace("OPERAND", operand) + condition[end:], True
    return negate(condition, language), False


def _is_plain(pieces: list[Token]) -> bool:
    """Whether each word is one of PLAIN, or the key of an object."""
    keys = {before.at for before, after in pairwise(pieces) if after.text == ":"}
    return all(one.kind != "word" or one.text in PLAIN or one.at in keys for one in pieces)


def _places(pieces: list[Token]) -> list[int]:
    return [index for index in range(len(pieces)) if _changeable(pieces, index)]


def _bare(condition: str, language: str) -> str:
    """The condition without brackets around all of it."""
    pieces = tokens(condition, language)
    if pieces[0].text == "(" and closing(pieces, 0) == len(pieces) - 1:
        return _bare(condition[pieces[0].end : pieces[-1].at].strip(), language)
    return condition


def _operands(condition: str, language: str) -> Iterator[tuple[int, int]]:
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


def _changeable(pieces: list[Token], index: int) -> bool:
    one = pieces[index]
    before = pieces[index - 1] if index else None
    after = pieces[index + 1] if index + 1 < len(pieces) else None
    if one.text in ("true", "false"):
        return True
    around = {before.text if before else "", after.text if after else ""}
    glued = before is not None and before.kind == "word" and before.end == one.at
    if after and after.text == ":":  # a key of Go's maps, which may not be there twice
        return False
    if after and after.text == "," and _grouped(pieces, index):  # JavaScript's (1, 2) is 2
        return False
    if glued or around & set("*/%^&|") or (before and before.text == "."):
        return False
    if one.kind == "text":
        return one.text[0] != "`"
    if one.kind != "number" or not NUMBER.fullmatch(one.text) or re.match(r"0\d", one.text):
        return False
    beyond = pieces[index + 2] if index + 2 < len(pieces) else None
    return not (before and before.text == "[" and after and after.text == "]" and beyond and beyond.kind == "word")


def _grouped(pieces: list[Token], index: int) -> bool:
    """Whether the innermost bracket around a token is a round one that calls nothing."""
    depth = 0
    for at in range(index - 1, -1, -1):
        depth += (pieces[at].text in CLOSE) - (pieces[at].text in OPEN)
        if depth < 0:
            return pieces[at].text == "(" and (at == 0 or pieces[at - 1].kind != "word")
    return False


def _other(one: Token, known: list[str], draw: random.Random) -> str:
    """A literal of the same type that equals another value; one that the tests expect elsewhere, if there is one."""
    if one.kind == "word":
        return "false" if one.text == "true" else "true"
    likely = [other for other in known if _differs(one.text, other)]
    if likely:
        return draw.choice(likely)
    if one.kind == "text":
        return _other_text(one.text, draw)
    whole, fraction, suffix = NUMBER.fullmatch(one.text).groups("")  # type: ignore[union-attr]
    return _other_digits(whole, draw) + fraction + suffix


def _differs(one: str, other: str) -> bool:
    """Whether two literals are of one type and, whatever the tolerance, different."""
    numbers = NUMBER.fullmatch(one), NUMBER.fullmatch(other)
    if not (numbers[0] and numbers[1]):
        return one[0] == other[0] and one[0] in "\"'" and one != other and (len(one) == 3) == (len(other) == 3)
    (whole, fraction, suffix), (whole_, fraction_, suffix_) = numbers[0].groups(""), numbers[1].groups("")
    alike = suffix == suffix_ and bool(fraction) == bool(fraction_) and len(whole_) <= max(len(whole), 2)
    return alike and len(whole) < 9 and abs(float(whole + fraction) - float(whole_ + fraction_)) >= 1


def _other_digits(digits: str, draw: random.Random) -> str:
    """Never more digits, nor a larger first one where there are many: an overflow would not compile."""
    if len(digits) > 8:
        return f"{int(digits[0]) - 1}{digits[1:]}" if digits[0] > "1" else digits[:-1]
    if len(digits) > 2 and digits[0] == "1":
        place = 1 if len(digits) == 3 and digits < "128" else draw.randrange(1, len(digits))
    else:
        place = draw.randrange(len(digits))
    most = digits[place] if len(digits) > 2 else "9"
    least = "1" if place == 0 and len(digits) > 1 else "0"
    others = [digit for digit in "0123456789" if least <= digit <= most and digit != digits[place]]
    if not others:
        return digits[:-1] if len(digits) > 1 else "7"
    return digits[:place] + draw.choice(others) + digits[place + 1 :]


def _other_text(text: str, draw: random.Random) -> str:
    quote, inside = text[0], text[1:-1]
    letters = [] if "\\" in inside else list(inside)
    places = [place for place, letter in enumerate(letters) if letter.isascii() and letter.isalnum()]
    if not places:
        rest = "" if quote == "'" and len(inside) == 1 else inside
        return quote + rest + draw.choice("abcdefgh") + quote
    place = draw.choice(places)
    letter = inside[place]
    kin = "0123456789" if letter.isdigit() else "abcdefghijklmnopqrstuvwxyz"
    other = draw.choice([one for one in kin if one != letter.lower()])
    return f"{quote}{inside[:place]}{other.upper() if letter.isupper() else other}{inside[place + 1 :]}{quote}"
