"""Plants a bug in one line of a function: realistic mistakes, made on the syntax tree (kinds.yaml lists them).

A mutant parses, differs from the original in one line, and never in a string or comment. Which one a function gets
depends on a key alone, its id. Whether a mutant behaves differently is another question (behaviour.py).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.lib import params
from stages.lib.corpus import functions
from stages.lib.tasks.draws import rendezvous
from stages.lib.tasks.prompts import code_lines

if TYPE_CHECKING:
    from tree_sitter import Node

MOST = 1000  # integers above it are no counts or indices, and stay
Edit = tuple[str, int, int, str]  # kind, first and last byte, and what is put between them


@dataclass(frozen=True)
class Bug:
    """A mutant: its kind, the line without indentation before and after, and the whole code with it."""

    kind: str
    line: str
    broken_line: str
    code: str

    def shown(self, seen: str) -> dict[str, str]:
        """What a task shows of it (`planted.shows`); `seen`: a call that it makes go wrong, or ""."""
        return {"line": self.line, "broken_line": self.broken_line, "seen": seen}


def draw(code: str, language: str, key: str, any_line: bool = False) -> list[Bug]:
    """The bugs that can be planted in `code`, one function, in an order drawn by `key`; the kinds take turns, so that
    none crowds out another.

    Only lines that occur once, after the first, so that a line's text tells where the bug is; every line with
    `any_line`.
    """
    by_kind: dict[str, dict[str, Bug]] = {}
    allowed = set(code_lines(code))
    for bug in _bugs(code, language):
        if any_line or bug.line in allowed:
            by_kind.setdefault(bug.kind, {})[bug.code] = bug
    kinds = rendezvous(key, 0, {kind: kind for kind in by_kind}, len(by_kind))
    drawn = [rendezvous(key, 0, by_kind[kind], len(by_kind[kind])) for kind in kinds]
    ordered = [bug for turn in zip_longest(*drawn) for bug in turn if bug is not None]
    return list({bug.code: bug for bug in ordered}.values())


def _bugs(code: str, language: str) -> Iterator[Bug]:
    found = functions.locate(code, language)
    if found is None:
        return
    root, offset = found
    data = code.encode()
    for kind, start, end, text in _edits(root, language):
        start, end = start - offset, end - offset
        if start < 0 or end > len(data):
            continue
        broken = (data[:start] + text.encode() + data[end:]).decode()
        changed = [pair for pair in zip_longest(code.split("\n"), broken.split("\n")) if pair[0] != pair[1]]
        if len(changed) != 1 or None in changed[0] or not functions.parses(broken, language):
            continue
        before, after = (line.strip() for line in changed[0])
        if before != after:
            yield Bug(kind, before, after, broken)


def _edits(root: "Node", language: str) -> Iterator[Edit]:
    nodes = list(_nodes(root))
    for kind, entry in _data()["kinds"].items():
        yield from _exchanges(nodes, kind, entry)
    yield from _namesakes(nodes, _pairs(language))
    yield from _wrong_variables(nodes, language in _data()["typed"])
    for make in (_negations, _off_by_one, _missing_one, _swapped_arguments):
        yield from make(nodes)


def _exchanges(nodes: list["Node"], kind: str, entry: dict[str, Any]) -> Iterator[Edit]:
    inside = re.compile(entry.get("inside", ""))
    for node in nodes:
        is_sign = not node.is_named or node.type in ("true", "false", "boolean", "boolean_literal")
        if is_sign and not node.child_count and node.parent is not None and inside.search(node.parent.type):
            others = entry["signs"].get(_text(node), [])
            yield from ((kind, node.start_byte, node.end_byte, other) for other in others)


def _namesakes(nodes: list["Node"], pairs: dict[str, list[str]]) -> Iterator[Edit]:
    for node in nodes:
        if _text(node) in pairs and _is_called(node):
            yield from (("namesake", node.start_byte, node.end_byte, other) for other in pairs[_text(node)])


def _is_called(node: "Node") -> bool:
    """Whether `node`, or the last part of `a.node`, stands before a call's arguments, or needs none (Ruby)."""
    if _field(node) == "method":
        return True
    while (after := node.next_sibling) is None and node.parent is not None and "block" not in node.parent.type:
        node = node.parent
    return after is not None and bool(_matches("arguments", after.type))


def _negations(nodes: list["Node"]) -> Iterator[Edit]:
    for node in nodes:
        around = _data()["negations"].get(node.type)
        if around and node.parent and around in node.parent.type and (after := node.next_sibling):
            yield "negation", node.start_byte, after.start_byte, ""


def _off_by_one(nodes: list["Node"]) -> Iterator[Edit]:
    for node in nodes:
        if _is_integer(node) and int(_text(node)) <= MOST:
            number = int(_text(node))
            counted = node.parent is not None and re.search("binary|unary", node.parent.type)
            for other in (number + 1, number - 1):
                if other > 0 or (other == 0 and not counted):  # nobody writes `- 0`
                    yield "off by one", node.start_byte, node.end_byte, str(other)


def _missing_one(nodes: list["Node"]) -> Iterator[Edit]:
    for node in nodes:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if left and right and "binary" in node.type and _is_integer(right) and _text(right) == "1":
            sign = left.next_sibling
            if sign is not None and _text(sign) in ("+", "-"):
                yield "missing one", left.end_byte, node.end_byte, ""


def _wrong_variables(nodes: list["Node"], typed: bool) -> Iterator[Edit]:
    variables = [node for node in nodes if _matches("variables", node.type) and _text(node) != "_"]
    declared: dict[str, tuple[int, str]] = {}
    for node in variables:
        if _is_declared(node):
            declared.setdefault(_text(node), (node.start_point.row, _type(node)))
    for node in variables:
        if _text(node) not in declared or not _is_read(node):
            continue
        row, own = node.start_point.row, declared[_text(node)][1]
        beside = {_text(child) for child in node.parent.children} if node.parent else set()
        for name, (since, its) in declared.items():
            if since < row and name not in beside and (own == its != "" or not typed):
                yield "wrong variable", node.start_byte, node.end_byte, name


def _type(node: "Node") -> str:
    """The type that the declaration of `node` gives, or ""."""
    above = node.parent
    for _ in range(3):
        if above is None:
            break
        if (found := above.child_by_field_name("type")) is not None:
            return _text(found)
        above = above.parent
    return ""


def _swapped_arguments(nodes: list["Node"]) -> Iterator[Edit]:
    for node in nodes:
        before = node.prev_sibling
        if not _matches("arguments", node.type) or before is None or _text(before) in _data()["symmetric"]:
            continue
        given = [child for child in node.named_children if "comment" not in child.type]
        for first, second in pairwise(given):
            texts = [_text(first), _text(second)]
            if texts[0] != texts[1] and not any("keyword" in one.type or "splat" in one.type for one in given):
                between = (node.text or b"")[first.end_byte - node.start_byte : second.start_byte - node.start_byte]
                yield "swapped arguments", first.start_byte, second.end_byte, texts[1] + between.decode() + texts[0]


def _is_integer(node: "Node") -> bool:
    text = _text(node)
    return bool(_matches("integers", node.type)) and text.isdecimal() and text.isascii() and not text.startswith("00")


def _is_declared(node: "Node") -> bool:
    """Whether `node` is a parameter, or takes an assigned value."""
    above = node.parent
    if above is None:
        return False
    field = _field(node)
    if re.search("assign|variable_declarator|init_declarator|^for|var_spec|let_declaration|short_var", above.type):
        return field in ("left", "name", "pattern", "declarator")
    if re.search("expression_list|pattern_list|tuple_pattern", above.type):
        return _field(above) in ("left", "pattern")
    while above is not None and re.search("parameter|declarator|pattern", above.type):
        if field in ("type", "value", "default") or "function" in above.type:
            return False
        if "parameter" in above.type:
            return True
        above, field = above.parent, _field(above)
    return False


def _is_read(node: "Node") -> bool:
    above = node.parent
    if above is None or not _matches("reads", above.type) or _field(node) in _unread(above):
        return False
    return not (above.type == "expression_list" and _field(above) == "left")


def _unread(above: "Node") -> list[str]:
    """The fields of a node in which a variable is not read: an operator's left side is."""
    fields = list(_data()["not_read"])
    return [name for name in fields if name != "left"] if "binary" in above.type or "boolean" in above.type else fields


def _field(node: "Node | None") -> str:
    """The field of its parent in which `node` stands, or ""."""
    if node is None or node.parent is None:
        return ""
    for place, child in enumerate(node.parent.children):
        if child.id == node.id:
            return node.parent.field_name_for_child(place) or ""
    return ""


def _nodes(root: "Node") -> Iterator["Node"]:
    """Every node below `root`, in order, but for strings, comments and what is in them."""
    left = [root]
    while left:
        node = left.pop()
        if "string" in node.type or "comment" in node.type or "template" in node.type or "char" in node.type:
            continue
        yield node
        if not _matches("variables", node.type):
            left += reversed(node.children)


def _matches(key: str, text: str) -> bool:
    return bool(_pattern(key).search(text))


@cache
def _pattern(key: str) -> re.Pattern[str]:
    return re.compile(_data()[key])


def _text(node: "Node") -> str:
    return (node.text or b"").decode()


@cache
def _pairs(language: str) -> dict[str, list[str]]:
    """By name, the functions that are called in its place by mistake."""
    found: dict[str, list[str]] = {}
    for pair in _data()["namesakes"].get(language, "").split(","):
        if pair.strip():
            one, other = pair.split()
            found.setdefault(one, []).append(other)
            found.setdefault(other, []).append(one)
    return found


@cache
def _data() -> dict[str, Any]:
    return params.read(Path(__file__).with_name("kinds.yaml"))
