"""JavaScript whose steps are counted: each round of a loop and each call of a function calls `tidemillStep` first.

A loop without end is found by counting, and not by a clock: the same on every machine, however busy.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stages.lib.corpus import functions

if TYPE_CHECKING:
    from tree_sitter import Node

STEP = "tidemillStep()"
_LOOPS = ("for_statement", "for_in_statement", "while_statement", "do_statement")


def counted(code: str) -> str:
    """`code` with its steps counted; unchanged if it is no program."""
    root = functions.parse_file(code, "JavaScript")
    if root.has_error:
        return code
    data = code.encode()
    for place, text in sorted(_insertions(root), key=lambda one: one[0], reverse=True):
        data = data[:place] + text + data[place:]
    return data.decode()


def _insertions(root: "Node") -> list[tuple[int, bytes]]:
    """Bytes and what to put there. Of several at one place the last is put there first, and so stands last: what closes
    an inner body comes before what closes an outer one, and both before what opens another."""
    opened: list[tuple[int, bytes]] = []
    closed: list[tuple[int, bytes]] = []
    for body, is_loop in _bodies(root):
        if body.type == "statement_block":
            opened.append((_beginning(body), f";{STEP};".encode()))
        else:
            before, after = (f"{{{STEP};", "}") if is_loop else (f"({STEP},", ")")
            opened.append((body.start_byte, before.encode()))
            closed.append((body.end_byte, after.encode()))
    return [*reversed(closed), *opened]


def _bodies(root: "Node") -> Iterator[tuple["Node", bool]]:
    """The bodies of loops and functions, outer ones first, and whether it is a loop's."""
    left = [root]
    while left:
        node = left.pop()
        body = node.child_by_field_name("body")
        if body is not None and (node.type in _LOOPS or "function" in node.type or node.type == "method_definition"):
            yield body, node.type in _LOOPS
        left += reversed(node.children)


def _beginning(block: "Node") -> int:
    """Behind the bracket, and behind "use strict" and the like."""
    end = block.start_byte + 1
    for statement in block.named_children:
        if statement.type == "comment":
            continue
        if statement.type != "expression_statement" or statement.named_children[0].type != "string":
            break
        end = statement.end_byte
    return end
