"""Translates a teacher's tests, lines of Python, into a test program in the solution's language.

Values are written in the types of the solution's signature, which languages.yaml lists by language. A line whose values
do not fit them is skipped, and so is a signature with other types.
"""

import ast
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from stages.lib.tasks.unit_tests.languages import languages

_OPEN, _CLOSE = "([{<", ")]}>"


class Untranslatable(Exception):
    """A type or value without a counterpart."""


@dataclass(frozen=True)
class Type:
    """A type of a signature: its `kind` in languages.yaml, its `text`, and what it is made `of`."""

    kind: str
    text: str
    of: tuple["Type", ...] = ()


@dataclass(frozen=True)
class Signature:
    """A function's name, and its parameter and result types (none in JavaScript)."""

    name: str
    parameters: tuple[Type, ...] | None
    result: Type | None


def signature(code: str, name: str, language: str) -> Signature | None:
    """The signature of the function `name` in `code`; None if tests cannot express its types."""
    known = languages()[language]
    if "types" not in known:
        return Signature(name, None, None)
    found = re.search(known["head"].replace("NAME", re.escape(name)), code)
    if not found:
        return None
    inside, after = _parenthesis(code, found.end())
    result = found["result"] if "result" in found.groupdict() else after.partition("{")[0].strip().removeprefix("->")
    try:
        parameters = [_type(text, language) for text in _declared(_split(inside), language)]
        return Signature(name, tuple(parameters), _type(result, language))
    except Untranslatable:
        return None


def translate(lines: Sequence[str], called: Signature, language: str) -> dict[str, str]:
    """Each translatable line of `lines`, with its condition in `language`."""
    conditions = {}
    for line in lines:
        try:
            conditions[line] = _condition(line, called, language)
        except Untranslatable:
            continue
    return conditions


def program(conditions: Iterable[str], language: str) -> str:
    """The test program that fails unless all `conditions` hold."""
    known = languages()[language]
    body = "\n".join(_fill(known["test"], CONDITION=condition) for condition in conditions)
    return _fill(known["tests"], TESTS=body)


def candidate(code: str, language: str) -> str:
    """`code`, a function cut out of its file, as a complete program."""
    known = languages()[language]
    for pattern in known.get("strip", []):
        code = re.sub(pattern, "", code, count=1, flags=re.MULTILINE)
    packages = [name for name in known.get("packages", []) if re.search(rf"\b{name}\.", code)]
    imports = "".join(f'import "{name}"\n' for name in packages)
    return str(known["prelude"]).replace("IMPORTS", imports) + code + str(known.get("end", ""))


def _condition(line: str, called: Signature, language: str) -> str:
    match ast.parse(line.strip()).body:
        case [
            ast.Assert(
                test=ast.Compare(left=ast.Call(func=ast.Name("candidate"), args=given, keywords=[]), comparators=[said])
            )
        ]:
            values, expected = [_value(node) for node in given], _value(said)
        case _:
            raise Untranslatable
    known = languages()[language]
    if called.parameters is None or called.result is None:
        arguments, result = [_json(value) for value in values], _json(expected)
        kind = "float" if isinstance(expected, float) else ""
    else:
        if len(values) != len(called.parameters):
            raise Untranslatable
        pairs = zip(values, called.parameters, strict=True)
        arguments = [_literal(value, kind, language) for value, kind in pairs]
        result, kind = _literal(expected, called.result, language), called.result.kind
    compare = known["close" if kind == "float" else "equal"]
    call = _fill(known["call"], NAME=called.name, ARGUMENTS=", ".join(arguments))
    return _fill(compare, CALL=call, EXPECTED=result)


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise Untranslatable from None


def _json(value: Any) -> str:
    try:
        return json.dumps(value)
    except TypeError:  # a set, bytes, a complex number
        raise Untranslatable from None


def _literal(value: Any, kind: Type, language: str) -> str:
    """`value` as a literal of type `kind`."""
    form = languages()[language]["types"][kind.kind]["literal"]
    match kind.kind.split()[0], value:
        case "bool", bool():
            written = str(value).lower()
        case "float", int() | float() if not isinstance(value, bool) and abs(value) < 1e300:
            written = repr(float(value))
        case "int", int() if not isinstance(value, bool) and abs(value) < 2**31:
            written = str(value)
        case "text" | "view", str() if value.isprintable() or set(value) <= set("\n\t "):
            written = json.dumps(value, ensure_ascii=False)
        case "char", str() if len(value) == 1 and value.isprintable() and value not in "'\\":
            written = f"'{value}'"
        case "maybe", None:
            return _fill(languages()[language]["types"]["maybe"]["none"], ITEM=kind.of[0].text)
        case "maybe", _:
            written = _literal(value, kind.of[0], language)
        case (("list" | "array" | "slice"), list() | tuple()):
            written = ", ".join(_literal(one, kind.of[0], language) for one in value)
            form = form if value else languages()[language]["types"][kind.kind].get("empty", form)
        case _:
            raise Untranslatable
    return _fill(form, TYPE=kind.text, ITEM=kind.of[0].text if kind.of else "", VALUE=written)


def _fill(form: str, **words: str) -> str:
    """`form` with the `words` filled in; inserted text is not scanned again."""
    return re.sub("|".join(words), lambda found: words[found[0]], form)


def _type(text: str, language: str) -> Type:
    known = languages()[language]
    for pattern in known["ignored"]:
        text = re.sub(pattern, "", text)
    text = " ".join(text.split())
    for kind, one in known["types"].items():
        if found := re.fullmatch(one["is"], text):
            return Type(kind, text, tuple(_type(inner, language) for inner in found.groups()))
    raise Untranslatable


def _declared(parts: Sequence[str], language: str) -> list[str]:
    """The types of a parameter list. In Go, several names may share the type of the last."""
    types: list[str] = []
    for part in reversed(parts):
        found = re.fullmatch(languages()[language]["parameter"], part.strip(), re.DOTALL)
        if found:
            types.append(found["type"])
        elif "shared_types" in languages()[language] and types:
            types.append(types[-1])
        else:
            raise Untranslatable
    return types[::-1]


def _parenthesis(code: str, start: int) -> tuple[str, str]:
    """The text inside the parenthesis opened before `start`, and the text after it."""
    depth = 1
    for place in range(start, len(code)):
        depth += (code[place] == "(") - (code[place] == ")")
        if not depth:
            return code[start:place], code[place + 1 :]
    return code[start:], ""


def _split(text: str) -> list[str]:
    """`text` at its commas outside of brackets."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in _OPEN) - (sign in _CLOSE)
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part for part in parts if part.strip()]
