"""JavaScript functions: what they are called with, and the program that observes them.

The calls are those of the documentation, then values that suit the parameters by their JSDoc types and their names. A
call is the text of its arguments, Python literals all, as tests are written (tasks/unit_tests).
"""

import ast
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.lib import params, sandbox
from stages.lib.corpus import functions
from stages.lib.methods.behaviour import drawing
from stages.lib.methods.behaviour.drawing import Parameter, Shape
from stages.lib.methods.behaviour.javascript import documentation, steps, usage
from stages.lib.methods.behaviour.javascript.literals import value_or_none
from stages.lib.tasks.unit_tests import programs

if TYPE_CHECKING:
    from tree_sitter import Node

HASH_SEEDS: tuple[int, ...] = (0,)  # its objects keep the order in which they were filled
RAISES = "throws"
UNTOLD: tuple[str, ...] = ("None", "undefined", "NaN", "Infinity", "-Infinity", "-0")
FOLDER = Path(__file__).parent
MOST_FIELDS = 5  # of an object that is made for a parameter
_FUNCTIONS = ("function_declaration", "function_expression", "arrow_function")
_OWNERS = ("function_declaration", "function_expression", "method_definition", "class_body")  # of a `this` in them


def calls(identity: str, code: str, name: str, docstring: str, most: int) -> list[str]:
    """At most `most` argument lists for the function `name` of `code`, those of its documentation first; none for a
    function that needs another, or an object that it is called on, or whose results may change."""
    root = functions.parse_file(programs.candidate(code, "JavaScript"), "JavaScript")
    function = None if root.has_error else _find(root, name)
    if function is None or _is_unsteady(root) or _has_own_this(function):
        return []
    shape = _shape(function, documentation.parameters(docstring))
    if _needs_a_function(function, shape):
        return []
    return drawing.calls(documentation.calls(docstring, name), identity, shape, _data(), most)


def program(codes: Sequence[str], name: str, called: Sequence[str]) -> sandbox.Program:
    """Calls the function `name` of each of `codes` with every one of `called`; its detail is what trial.js tells."""
    versions = [steps.counted(programs.candidate(code, "JavaScript")) for code in codes]
    given = ", ".join(map(json.dumps, (versions, name, [spoken(one) for one in called])))
    trial = (FOLDER / "trial.js").read_text(encoding="utf-8")
    candidate = f"{trial}\ntidemillTell(tidemillTrial({given}));\n"
    return sandbox.Program("javascript", candidate, "console.assert(true);", name, tells=True)


def spoken(literals: str) -> str:
    """`literals`, Python's with commas between them, as JavaScript's; NaN and the like as they are."""
    if literals in UNTOLD[1:]:
        return literals
    return json.dumps(ast.literal_eval(f"[{literals}]"), ensure_ascii=False)[1:-1]


def _find(root: "Node", name: str) -> "Node | None":
    """The function that is declared, or the one that a variable is declared to be, by this name."""
    for node in root.named_children:
        for one in [node, *node.named_children]:
            named = one.child_by_field_name("name")
            function = one.child_by_field_name("value") or one
            if named is not None and usage.text(named) == name and function.type in _FUNCTIONS:
                return function
    return None


def _is_unsteady(root: "Node") -> bool:
    """Whether what comes of it may differ another day, or on another machine."""
    unsteady = _data()["unsteady"]
    nodes = list(functions.nodes(root))
    if any(node.type in unsteady["nodes"] for node in nodes):
        return True
    if any(usage.text(node) in unsteady["properties"] for node in nodes if node.type == "property_identifier"):
        return True
    names = {usage.text(node) for node in nodes if node.type in ("identifier", "shorthand_property_identifier")}
    return bool(names & set(unsteady["names"]))


def _has_own_this(function: "Node") -> bool:
    left = list(function.children)
    while left:
        node = left.pop()
        if node.type == "this":
            return True
        left += [] if node.type in _OWNERS else node.children
    return False


def _shape(function: "Node", documented: dict[str, documentation.Documented]) -> Shape:
    parameters: list[Parameter] = []
    optional, spread = 0, None
    kinds = usage.kinds(function)
    for node in _parameters(function):
        left = node.child_by_field_name("left") or node
        told = documented.get(usage.text(left).lstrip("."), documentation.Documented("", False))
        if node.type == "rest_pattern":
            spread = Parameter(usage.text(node).lstrip("."), told.type)
            break
        kind = {"object_pattern": "Object", "array_pattern": "Array"}.get(left.type, told.type)
        parameters.append(_parameter(function, left, kind, kinds))
        optional = optional + 1 if left is not node or told.optional else 0
    if spread is None and any(usage.text(node) == "arguments" for node in functions.nodes(function)):
        spread = Parameter("arguments", "")
    literals = (node for node in functions.nodes(function) if node.type in ("number", "string"))
    return Shape(parameters, optional, spread, drawing.constants(map(value_or_none, literals)))


def _parameters(function: "Node") -> list["Node"]:
    single, several = (function.child_by_field_name(field) for field in ("parameter", "parameters"))
    nodes = several.named_children if several is not None else [single] if single is not None else []
    return [node for node in nodes if node.type != "comment"]


def _parameter(function: "Node", node: "Node", kind: str, kinds: Mapping[str, str]) -> Parameter:
    """`kind`: what its documentation says it is; `kinds`: what its use and that of its fields tell."""
    name = usage.text(node)
    before = "" if node.type == "object_pattern" else f"{name}."
    fields = tuple(Parameter(field, kinds.get(f"{before}{field}", "")) for field in _fields(function, node))
    return Parameter(name, kind or kinds.get(name, ""), fields if len(fields) <= MOST_FIELDS else ())


def _fields(function: "Node", parameter: "Node") -> dict[str, None]:
    """What the function reads of a parameter, or takes out of it: node.x, { x }; no method that it calls."""
    if parameter.type == "object_pattern":
        kinds = ("shorthand_property_identifier_pattern", "property_identifier")
        return {usage.text(node): None for node in functions.nodes(parameter) if node.type in kinds}
    found: dict[str, None] = {}
    for node in functions.nodes(function):
        owner, field = node.child_by_field_name("object"), node.child_by_field_name("property")
        is_read = node.type == "member_expression" and owner is not None and usage.text(owner) == usage.text(parameter)
        is_called = node.parent is not None and node.parent.child_by_field_name("function") == node
        if is_read and not is_called and field is not None and usage.text(field) not in _data()["everywhere"]:
            found[usage.text(field)] = None
    return found


def _needs_a_function(function: "Node", shape: Shape) -> bool:
    """Whether a parameter that must be given is, or holds, a function: its documentation says so, or it is called."""
    needed = shape.parameters[: len(shape.parameters) - shape.optional]
    return any(documentation.is_function(one.annotation) or usage.calls_a_part(function, one.name) for one in needed)


@cache
def _data() -> dict[str, Any]:
    return params.read(FOLDER / "values.yaml")
