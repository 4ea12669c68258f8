"""Functions out of source code, through the single tree-sitter grammars of languages.yaml."""

import ast
import hashlib
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Query

_DEFINITIONS = Path(__file__).with_name("languages.yaml")
# What opens or closes a comment, or decorates the start of one of its lines.
_COMMENT_MARK = re.compile(r"^[ \t]*(?:/\*+!?|//+!?|#+|\*+(?!/))[ \t]?|\s*\*+/[ \t]*$", re.MULTILINE)
# Nodes that may stand between a function and its comment without being part of either.
_TRANSPARENT = ("attribute_item",)
# The nodes that compute, choose, repeat or call something, by the names that the grammars give them.
_OPERATION = re.compile(
    r"binary|unary|_operator$|comparison|conditional|ternary|augmented|compound_assign|update|increment"
    r"|call|invocation|creation|new_expression|comprehension|generator_expression|subscript|index_expression|slice"
    r"|element_|array_access|^(?:if|unless|for|foreach|while|until|switch|case|match|enhanced_for)(?:_|$)"
)


_FUNCTION = re.compile("function|method|lambda|closure")


@dataclass(frozen=True)
class Function:
    """A function as it stands in a file: `line` is 1-based, `code` is dedented and holds no docstring."""

    name: str
    code: str
    docstring: str
    line: int


@dataclass(frozen=True)
class Unreadable:
    """A function that something is wrong with; `line` is 1-based."""

    line: int
    reason: str


def function_id(language: str, code: str) -> str:
    """The id of a function: sha256 (hex) of its language, NUL and its code."""
    return hashlib.sha256(f"{language}\0{code}".encode()).hexdigest()


def languages() -> tuple[str, ...]:
    """The languages of the corpus, in the order of languages.yaml."""
    return tuple(_definitions())


def language_of(path: str) -> str | None:
    """The language that a file's suffix means, or None if it is none of ours."""
    return _by_suffix().get(Path(path).suffix.lower())


def tagged(tag: str) -> str:
    """The language that a word such as "python" or "js" after a fence means, in any case, or ""."""
    return _by_tag().get(tag.lower(), "")


def names(text: str, language: str) -> bool:
    """Whether `text` names `language`. "JavaScript" does not name Java, nor "go" Go."""
    return bool(_naming(language).search(text))


def extract(text: str, language: str) -> Iterator[Function]:
    """The functions that `read` finds in `text`, without those that cannot be read."""
    return (found for found in read(text, language) if isinstance(found, Function))


def read(text: str, language: str) -> Iterator[Function | Unreadable]:
    """The functions with a body in `text`, the outermost ones, in the order of the file.

    A Python docstring is taken out of the code; in the other languages the comment that ends on the
    line above is the docstring. A Python function that has no body but a docstring is left out.
    """
    source = text.encode()
    definition = _definitions()[language]
    root = parse_file(text, language)
    taken_to = -1
    for node, name in _matches(language, root):
        if node.start_byte < taken_to:
            continue
        taken_to = node.end_byte
        outer = _with_surroundings(node, definition["around"])
        line = outer.start_point.row + 1
        try:
            split = _split_python(source, outer, node) if language == "Python" else _split_comment(source, outer)
            if split is not None:
                code, docstring = split
                docstring.encode()  # an escape may have made half of a surrogate pair
                yield Function(_name(name), code, docstring, line)
        except Exception as error:  # whatever it is, it is this function's alone
            yield Unreadable(line, f"function cannot be read: {error!r}")


def read_one(text: str, language: str) -> Function | None:
    """The one function that `text` is, by itself or as the member of a class; None if it is none, or several."""
    definition = _definitions()[language]
    opening = definition.get("opening", "")
    for shell in definition["shells"]:
        found = list(extract(("" if opening in text else opening) + shell.replace("CODE", text), language))
        if len(found) == 1:
            return found[0]
    return None


def without_docstring(code: str, language: str) -> str:
    """`code`, one function, without the docstring inside it; unchanged if it is not a function that we can read."""
    found = list(extract(code, language)) if language == "Python" else []
    return found[0].code if len(found) == 1 else code


def parses(code: str, language: str) -> bool:
    """Whether `code`, one function, parses without an error, by itself or as the member of a class."""
    return parse(code, language) is not None


def with_imports(function: Mapping[str, Any]) -> str:
    """The code of a row of `records.FUNCTION` after the imports it uses; alone where the two don't parse together, as
    an import before a JavaScript method does not."""
    both = f"{function['imports']}\n\n{function['code']}" if function["imports"] else function["code"]
    return both if parses(both, function["language"]) else function["code"]


def parse(code: str, language: str) -> "Node | None":
    """The tree of `code`, one function, by itself or as the member of a class; None if it parses neither way."""
    found = locate(code, language)
    return found and found[0]


def parse_file(text: str, language: str) -> "Node":
    """The tree of a whole file, whatever it holds."""
    return _parser(_definitions()[language]["grammar"]).parse(text.encode()).root_node


def grammar_of(language: str) -> Any:
    """The tree-sitter Language of the trees that `parse` makes."""
    definition = _definitions()[language]
    return _grammar(definition.get("snippet_grammar", definition["grammar"]))


def operations(code: str, language: str, enough: int) -> int:
    """How many operators, calls, choices and loops `code`, one function, has, counted up to `enough`; 0 for code that
    does not parse."""
    root = parse(code, language)
    found = (node for node in nodes(root) if _operates(node.type) and node.is_named) if root else iter(())
    return sum(1 for _ in islice(found, enough))


@lru_cache(maxsize=2)  # one row's rules follow one another, and each asks
def locate(code: str, language: str) -> tuple["Node", int] | None:
    """The tree of the first of the language's shells in which `code` parses, and the byte where it begins there."""
    definition = _definitions()[language]
    parser = _parser(definition.get("snippet_grammar", definition["grammar"]))
    for shell in definition["shells"]:
        root = parser.parse(shell.replace("CODE", code).encode()).root_node
        if not root.has_error:
            return root, len(shell.partition("CODE")[0].encode())
    return None


def nodes(root: "Node") -> Iterator["Node"]:
    """All nodes at or below `root`, in order; code may nest deeper than Python's stack."""
    left = [root]
    while left:
        node = left.pop()
        yield node
        left += reversed(node.children)


def leaves(node: "Node") -> Iterator["Node"]:
    """The nodes without children at or below `node`, in order; a string is one of them."""
    left = [node]
    while left:
        node = left.pop()
        if node.child_count == 0 or "string" in node.type:
            yield node
        else:
            left += reversed(node.children)


def bodies(root: "Node") -> list["Node"]:
    """The bodies of the functions below `root`, outer ones first."""
    found, left = [], [root]
    while left:
        node = left.pop()
        body = node.child_by_field_name("body")
        if body is not None and _FUNCTION.search(node.type):
            found.append(body)
        left += reversed(node.children)
    return found


@cache
def _operates(kind: str) -> bool:
    return bool(_OPERATION.search(kind))


@cache
def _definitions() -> dict[str, Any]:
    from ruamel.yaml import YAML

    return dict(YAML(typ="safe", pure=True).load(_DEFINITIONS))


@cache
def _by_suffix() -> dict[str, str]:
    return {suffix: language for language, entry in _definitions().items() for suffix in entry["suffixes"]}


@cache
def _by_tag() -> dict[str, str]:
    tags = {tag: language for language, entry in _definitions().items() for tag in entry.get("tags", [])}
    return {language.lower(): language for language in languages()} | tags


@cache
def _naming(language: str) -> re.Pattern[str]:
    entry = _definitions().get(language, {})
    words = "|".join(map(re.escape, (language, *entry.get("also", []))))
    return re.compile(rf"(?<![\w+#])(?:{words})(?![\w+#])", 0 if entry.get("exact_case") else re.I)


@cache
def _parser(grammar: str) -> "Parser":
    from tree_sitter import Parser

    return Parser(_grammar(grammar))


@cache
def _grammar(name: str) -> Any:
    from tree_sitter import Language

    module, _, function = name.partition(".")
    return Language(getattr(importlib.import_module(module), function)())


@cache
def _query(language: str) -> "Query":
    from tree_sitter import Query

    definition = _definitions()[language]
    return Query(_grammar(definition["grammar"]), definition["query"])


def _matches(language: str, root: "Node") -> list[tuple["Node", "Node"]]:
    from tree_sitter import QueryCursor

    matches = QueryCursor(_query(language)).matches(root)
    pairs = [(captures["function"][0], captures["name"][0]) for _, captures in matches]
    return sorted(pairs, key=lambda pair: (pair[0].start_byte, -pair[0].end_byte))


def _with_surroundings(node: "Node", around: list[str]) -> "Node":
    while node.parent is not None and node.parent.type in around and node.parent.named_child_count <= 2:
        node = node.parent
    return node


def _name(node: "Node") -> str:
    """The text of a name; a C++ declarator is followed down to the name that it declares."""
    while (inner := node.child_by_field_name("declarator")) is not None:
        node = inner
    if node.type == "reference_declarator":
        return _name(node.named_children[-1])
    return _text(node)


def _text(node: "Node") -> str:
    return (node.text or b"").decode()


def _split_python(source: bytes, outer: "Node", function: "Node") -> tuple[str, str] | None:
    body = function.child_by_field_name("body")
    statements = [child for child in body.named_children if child.type != "comment"] if body else []
    first = statements[0] if statements else None
    if first is None or not _is_docstring(first):
        return _dedent(source, outer, source[outer.start_byte : outer.end_byte]), ""
    rest = [child for child in body.named_children if child.start_byte >= first.end_byte] if body else []
    if len(statements) == 1:
        return None
    code = source[outer.start_byte : first.start_byte] + source[rest[0].start_byte : outer.end_byte]
    return _dedent(source, outer, code), _literal(_text(first.named_children[0]))


def _is_docstring(statement: "Node") -> bool:
    if statement.type != "expression_statement" or statement.named_children[0].type != "string":
        return False
    return "b" not in _text(statement).lower().partition('"')[0].partition("'")[0]  # bytes document nothing


def _literal(text: str) -> str:
    try:
        return inspect.cleandoc(ast.literal_eval(text))
    except (ValueError, SyntaxError, AttributeError):  # an f-string, or another that is no plain text
        return inspect.cleandoc(text.strip("rRuUbBfF").strip("\"'"))


def _split_comment(source: bytes, outer: "Node") -> tuple[str, str]:
    lines: list[str] = []
    row = outer.start_point.row
    before = outer.prev_sibling
    while before is not None and row - before.end_point.row <= 1:
        if "comment" in before.type:
            if before.prev_sibling is not None and before.prev_sibling.end_point.row == before.start_point.row:
                break  # it ends a line of code: it speaks of that line
            lines.insert(0, _text(before))
        elif before.type not in _TRANSPARENT:
            break
        row = before.start_point.row
        before = before.prev_sibling
    code = _dedent(source, outer, source[outer.start_byte : outer.end_byte])
    return code, inspect.cleandoc(_COMMENT_MARK.sub("", "\n".join(lines))).strip()


def _dedent(source: bytes, node: "Node", code: bytes) -> str:
    """`code` without the indentation that its first line has in the file."""
    line_start = source.rfind(b"\n", 0, node.start_byte) + 1
    indent = re.match(rb"[ \t]*", source[line_start : node.start_byte])
    text = code.decode()
    dedented = textwrap.dedent((indent.group().decode() if indent else "") + text)
    # A string of several lines may reach to the left of the code: then the lines stay as they are.
    return (text if dedented[:1].isspace() else dedented).rstrip()
