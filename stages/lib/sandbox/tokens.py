"""A test program's text in pieces, in any of the languages whose tests and candidate share a process."""

import re
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Token:
    """A piece of a program, comments left out; `at` is where it begins."""

    kind: str
    text: str
    at: int

    @property
    def end(self) -> int:
        return self.at + len(self.text)


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
