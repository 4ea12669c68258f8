"""Literals in what a test expects: which may be changed, and into what."""

import random
import re
from itertools import pairwise

from stages.lib.sandbox.tokens import CLOSE, OPEN, Token

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


def is_plain(pieces: list[Token]) -> bool:
    """Whether each word is one of PLAIN, or the key of an object."""
    keys = {before.at for before, after in pairwise(pieces) if after.text == ":"}
    return all(one.kind != "word" or one.text in PLAIN or one.at in keys for one in pieces)


def places(pieces: list[Token]) -> list[int]:
    """Where the literals stand that may be changed."""
    return [index for index in range(len(pieces)) if _changeable(pieces, index)]


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


def other_value(one: Token, known: list[str], draw: random.Random) -> str:
    """A literal of the same type that equals another value; one that the tests expect elsewhere, if there is one."""
    if one.kind == "word":
        return "false" if one.text == "true" else "true"
    likely = [other for other in known if differs(one.text, other)]
    if likely:
        return draw.choice(likely)
    if one.kind == "text":
        return _other_text(one.text, draw)
    whole, fraction, suffix = NUMBER.fullmatch(one.text).groups("")  # type: ignore[union-attr]
    return _other_digits(whole, draw) + fraction + suffix


def differs(one: str, other: str) -> bool:
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
