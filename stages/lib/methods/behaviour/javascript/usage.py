"""What a function does with its parameters, as far as it tells what they are: JavaScript itself takes anything, and a
test that hands a list to what adds numbers is right, and not worth having.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stages.lib.corpus import functions

if TYPE_CHECKING:
    from tree_sitter import Node

_OF_TEXTS = re.compile(
    "charAt|charCodeAt|codePointAt|(?:ends|starts)With|match|matchAll|normalize|padEnd|padStart|repeat|replace|replaceAll"
    "|search|split|substr|substring|toLowerCase|toUpperCase|trim|trimEnd|trimStart"
)
_OF_LISTS = re.compile(
    "every|fill|filter|find|findIndex|flat|flatMap|forEach|join|map|pop|push|reduce|reduceRight|reverse|shift|some|sort"
    "|splice|unshift"
)
_OF_BOTH = re.compile("length|indexOf|lastIndexOf|slice|concat|includes")
_SIGNS = re.compile(r"[-*/%^&|<>]=?|\*\*=?|<<=?|>>>?=?|\+\+|--")
_TEXT, _LIST, _NUMBER, _SEQUENCE, _OBJECT, _FLAG = "string", "Array", "number", "sequence", "Object", "boolean"
_STRONGEST = (_TEXT, _LIST, _NUMBER, _SEQUENCE, _OBJECT, _FLAG)


def kinds(function: "Node") -> dict[str, str]:
    """By what is used, a variable or a field such as node.x, its type as JSDoc writes it; without those of which
    nothing tells."""
    found: dict[str, set[str]] = {}
    for node in functions.nodes(function):
        if node.type in ("identifier", "member_expression"):
            found.setdefault(text(node), set()).update(_told(node))
    return {name: next(one for one in _STRONGEST if one in told) for name, told in found.items() if told}


def calls_a_part(function: "Node", name: str) -> bool:
    """Whether the parameter `name` is called, or something that was taken out of it by an assignment."""
    called = {_callee(node) for node in functions.nodes(function) if node.type == "call_expression"}
    if name in called:
        return True
    for node in functions.nodes(function):
        taken = node.child_by_field_name("value") or node.child_by_field_name("right")
        to = node.child_by_field_name("name") or node.child_by_field_name("left")
        if taken is None or to is None or taken.type not in ("member_expression", "subscript_expression"):
            continue
        if text(to) in called and re.match(rf"{re.escape(name)}\s*[.\[]", text(taken)):
            return True
    return False


def text(node: "Node") -> str:
    """Its text."""
    return (node.text or b"").decode()


def _callee(call: "Node") -> str:
    """What is called, by itself or with `call` or `apply`."""
    callee = call.child_by_field_name("function")
    return text(callee).removesuffix(".call").removesuffix(".apply") if callee is not None else ""


def _told(node: "Node") -> Iterator[str]:
    """What the use of a value at `node` tells."""
    above = node.parent
    if above is None:
        return
    match above.type:
        case "member_expression" if above.child_by_field_name("object") == node:
            yield from _of_member(above)
        case "subscript_expression" if above.child_by_field_name("object") == node:
            index = above.child_by_field_name("index")
            if index is not None and index.type in ("number", "binary_expression"):
                yield _SEQUENCE
        case "binary_expression" | "unary_expression" | "update_expression" | "augmented_assignment_expression":
            sign = above.child_by_field_name("operator")
            if sign is not None and _SIGNS.fullmatch(text(sign)) and not _has_text(above):
                yield _NUMBER
        case "arguments" if above.parent is not None:
            callee = _callee(above.parent)
            if callee.startswith("Math.") or callee in ("isNaN", "isFinite", "Number.isInteger"):
                yield _NUMBER
            elif callee in ("parseInt", "parseFloat"):
                yield _TEXT
            elif callee in ("Object.keys", "Object.entries", "Object.values"):
                yield _OBJECT
        case "for_in_statement" if above.child_by_field_name("right") == node:
            yield _LIST if any(text(child) == "of" for child in above.children) else _OBJECT
        case "ternary_expression" if above.child_by_field_name("condition") == node:
            yield _FLAG
        case "parenthesized_expression" if above.parent is not None and above.parent.type == "if_statement":
            yield _FLAG


def _of_member(member: "Node") -> Iterator[str]:
    field = member.child_by_field_name("property")
    name = text(field) if field is not None else ""
    if _OF_TEXTS.fullmatch(name):
        yield _TEXT
    elif _OF_LISTS.fullmatch(name):
        yield _LIST
    elif _OF_BOTH.fullmatch(name):
        yield _SEQUENCE


def _has_text(operation: "Node") -> bool:
    """Whether one side is a text, as the other then is in a comparison."""
    return any(child.type in ("string", "template_string") for child in operation.named_children)
