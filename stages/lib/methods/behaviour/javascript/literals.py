"""JavaScript's literals as Python's values: numbers, texts, true, false, null, and arrays and objects of these."""

import re
from typing import TYPE_CHECKING, Any

from stages.lib.corpus import functions

if TYPE_CHECKING:
    from tree_sitter import Node

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": ""}
_WORDS = {"true": True, "false": False, "null": None}


class NoLiteral(ValueError):
    """It is an expression of another kind, or a value that Python's literals do not have."""


def arguments(text: str, known: dict[str, Any]) -> list[Any]:
    """The values of a call's arguments; `known` has those of variables. Raises `NoLiteral`."""
    root = functions.parse_file(f"[{text}\n]", "JavaScript")
    statement = root.named_children[0] if root.named_child_count == 1 and not root.has_error else None
    if statement is None or statement.type != "expression_statement" or statement.named_children[0].type != "array":
        raise NoLiteral
    found: list[Any] = value(statement.named_children[0], known)
    return found


def value(node: "Node", known: dict[str, Any] | None = None) -> Any:
    """The value of a literal, or of one of the `known` variables. Raises `NoLiteral`."""
    text = (node.text or b"").decode()
    children = [child for child in node.named_children if child.type != "comment"]
    match node.type:
        case "number":
            return _number(text)
        case "string":
            return "".join(_character(child) for child in children)
        case "true" | "false" | "null":
            return _WORDS[text]
        case "identifier" if known and text in known:
            return known[text]
        case "unary_expression" if text[0] == "-" and children[0].type == "number":
            return -_number(text[1:].strip())
        case "array" if not re.search(r"[\[,]\s*,", text):  # a hole is no value
            return [value(child, known) for child in children]
        case "object":
            return dict(_pair(child, known) for child in children)
    raise NoLiteral


def value_or_none(node: "Node") -> Any:
    """The same; None where there is none."""
    try:
        return value(node)
    except NoLiteral:
        return None


def _pair(node: "Node", known: dict[str, Any] | None) -> tuple[str, Any]:
    key, one = node.child_by_field_name("key"), node.child_by_field_name("value")
    if node.type != "pair" or key is None or one is None or key.type not in ("property_identifier", "string"):
        raise NoLiteral
    name = value(key) if key.type == "string" else (key.text or b"").decode()
    if name == "__proto__":  # which is no key of the object
        raise NoLiteral
    return name, value(one, known)


def _number(text: str) -> int | float:
    """1.0 is 1, as JavaScript itself writes it."""
    try:
        return int(text, 0) if re.fullmatch(r"0[xXbBoO].*|0|[1-9]\d*", text) else _whole(float(text))
    except ValueError:
        raise NoLiteral from None


def _whole(number: float) -> int | float:
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _character(node: "Node") -> str:
    text = (node.text or b"").decode()
    if node.type != "escape_sequence":
        return text
    if found := re.fullmatch(r"\\(?:x(..)|u(....)|u\{(\w+)\})", text):
        code = int(next(filter(None, found.groups())), 16)
        if 0xD800 <= code < 0xE000:
            raise NoLiteral
        return chr(code)
    return _ESCAPES.get(text[1:], text[1:])
