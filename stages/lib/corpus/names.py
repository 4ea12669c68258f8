"""Which names a function uses, where they come from, and whether the function stands by itself.

Python is read by `ast` and `symtable`, the other languages by tree-sitter and the queries of names.yaml. There, a name
that a function declares anywhere counts as declared everywhere in it.
"""

import ast
import re
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.lib.corpus import functions

if TYPE_CHECKING:
    from tree_sitter import Node, Query

_DEFINITIONS = Path(__file__).with_name("names.yaml")
_WORD = re.compile(r"\w+")
_CALLED = re.compile(r"(?<![\w.$>:])(\w+)\s*\(")
_GO_VERSION = re.compile(r"/v\d+$")
# Without one of these a function that calls its own name never returns: it calls another of that name.
_CHOICE = re.compile(r"\b(?:if|while|for|switch|case)\b|\?|&&|\|\|")
_MOST_SHOWN = 4
Captures = dict[str, list["Node"]]


@dataclass(frozen=True)
class Import:
    """One import of a file: its statement, what it imports, and the names that it gives."""

    statement: str
    path: str
    names: frozenset[str]


@dataclass(frozen=True)
class Names:
    """The names that a function uses without declaring them; `bond`: what ties it to its object, or ""."""

    free: frozenset[str]
    bond: str = ""


def find_imports(text: str, language: str) -> list[Import]:
    """The imports at the top level of `text`, a file or a row's imports; none of text that cannot be parsed, nor of a
    language that names.yaml does not have."""
    if language == "Python":
        return list(_python_imports(text))
    if language not in _definitions():
        return []
    definition = _definition(language)
    if "libraries" in definition:
        return [one for one in _libraries(language) if one.statement in text.splitlines()]
    return list(_imports(text, language, definition)) if "imports" in definition else []


def used_imports(imports: Iterable[Import], code: str, language: str) -> str:
    """The statements of those `imports` that `code` uses, a line each, or "".

    Where an import names no names (C++, C#, Ruby), it is the statements of the standard library's that it needs.
    """
    imports = list(imports)
    if language not in _definitions() or not (imports or _may_need_library(code, language)):
        return ""  # most functions, without being parsed
    free = free_names(code, language).free
    if "libraries" not in _definition(language):  # `import urllib` and `import urllib.parse` give one name: take both
        return "\n".join(dict.fromkeys(one.statement for one in imports if free & one.names))
    statements: list[str] = []
    for one in _libraries(language):
        needed = free & one.names
        if needed and not needed <= _given(statements, language):
            statements.append(one.statement)
    return "\n".join(statements)


def lacks(code: str, imports: str, language: str) -> str | None:
    """Why `code`, with its `imports`, does not stand by itself, or None where it does.

    It stands by itself if it belongs to no object, and every name in it is its own, a builtin, or one that `imports`
    brings from the standard library.
    """
    if language not in _definitions():
        return f"has names of {language}, which {_DEFINITIONS.name} does not have"
    found = free_names(code, language)
    if found.bond:
        return found.bond
    brought = find_imports(imports, language)
    if foreign := sorted({one.path for one in brought if not _is_standard(one.path, language)}):
        return f"imports {', '.join(foreign[:_MOST_SHOWN])}"
    given = frozenset[str]().union(*(one.names for one in brought))
    missing = sorted(name for name in found.free - given if not name.startswith("."))
    return f"needs {', '.join(missing[:_MOST_SHOWN])}" if missing else None


def undefined(text: str, language: str) -> frozenset[str]:
    """The names that `text`, functions with their imports, uses and nothing defines: outside of Python and JavaScript
    only functions that it calls by their bare name, since an import elsewhere may bring the rest. None of text that
    does not parse, nor of a language that names.yaml does not have."""
    if language == "Python":
        try:
            table = symtable.symtable(text, "program", "exec")
        except (SyntaxError, ValueError, RecursionError):
            return frozenset()
        own = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
        return frozenset(set(_global_names(table)) - own - _words("Python", "builtins"))
    if language not in _definitions():
        return frozenset()
    imported = frozenset[str]().union(*(one.names for one in find_imports(text, language)))
    free = free_names(text, language).free - imported
    return free if language == "JavaScript" else free & frozenset(_CALLED.findall(text))


@lru_cache(maxsize=4096)  # a function is asked about several times in a row, a corpus has millions
def free_names(code: str, language: str) -> Names:
    """The names that `code`, one function, uses but neither declares nor has as builtins."""
    return _python_names(code) if language == "Python" else _tree_names(code, language, _definition(language))


# Python


def _python_names(code: str) -> Names:
    try:
        tree, table = ast.parse(code), symtable.symtable(code, "function", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return Names(frozenset(), "is no Python of this version")
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return Names(frozenset(), "is no function")
    first = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)][:1]
    if first and first[0] in ("self", "cls", "mcs"):
        return Names(frozenset(), f"is a method: takes {first[0]}")
    nodes = list(ast.walk(tree))
    if any(isinstance(node, ast.Global) for node in nodes):
        return Names(frozenset(), "writes a global name")
    inner = {one.path for one in _imports_in(nodes)}
    if foreign := sorted(path for path in inner if not _is_standard(path, "Python")):
        return Names(frozenset(), f"imports {', '.join(foreign[:_MOST_SHOWN])}")
    used = set(_global_names(table)) - {function.name}
    return Names(frozenset(used - _words("Python", "builtins")))


def _global_names(table: symtable.SymbolTable) -> Iterator[str]:
    at_top = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or (at_top and not symbol.is_assigned())):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _global_names(child)


def _python_imports(text: str) -> Iterator[Import]:
    try:
        yield from _imports_in(ast.parse(text).body)
    except (SyntaxError, ValueError, RecursionError):
        return


def _imports_in(nodes: Iterable[ast.AST]) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                yield Import(ast.unparse(ast.Import([alias])), alias.name, frozenset([name]))
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                statement = f"from {module} import {ast.unparse(ast.Import([alias])).removeprefix('import ')}"
                if module != "__future__" and alias.name != "*":
                    yield Import(statement, module, frozenset([alias.asname or alias.name]))


# The other languages


def _tree_names(code: str, language: str, definition: dict[str, Any]) -> Names:
    parsed = functions.parse(code, language)
    if parsed is None:
        return Names(frozenset(), f"is no {language} that can be parsed")
    matches = _matches(language, "query", parsed)
    captures: dict[str, list[Node]] = {}
    for match in matches:
        for name, nodes in match.items():
            captures.setdefault(name, []).extend(nodes)
    members = {node.id for name in ("member", "scoped") for node in captures.get(name, [])}
    if bond := next((node for node in captures.get("refused", []) if node.id not in members), None):
        return Names(frozenset(), f"uses {_text(bond)}")
    if "owned" in captures:
        return Names(frozenset(), "is a method, constructor or conversion of its class")
    if any(_text(node) == code.strip() and not _is_usable_alone(code) for node in captures.get("method", [])):
        return Names(frozenset(), "is a method of its class: overrides another, or takes nothing")
    bound = set(map(_text, captures.get("bound", [])))
    for node in captures.get("pattern", []):
        bound |= {_text(leaf) for leaf in _leaves(node)}
    for node in captures.get("declarator", []):
        bound |= set(_declared(node))
    if _calls_another_of_its_name(matches, captures, code):
        return Names(frozenset(), "calls another function of its name")
    kinds = definition["names"]
    used = {_text(leaf) for leaf in _leaves(parsed) if leaf.type in kinds and leaf.id not in members}
    if "libraries" in definition:
        used |= {f".{_text(node)}" for node in captures.get("member", [])} & _library_names(language)
        used |= {found for node in captures.get("qualified", []) if (found := _standard_name(node))}
    known = _words(language, "builtins")
    if language == "PHP":  # where functions and classes have no case
        used, bound = {name.lower() if name.lower() in known else name for name in used}, bound | known
    pattern = re.compile(definition.get("builtin_pattern", r"(?!)"))
    return Names(frozenset(name for name in used - bound - known if not pattern.search(name)))


def _is_usable_alone(method: str) -> bool:
    """Whether a method that uses nothing of its object is more than what its class must have."""
    head, _, rest = method.partition("(")
    words = {word.lower() for word in _WORD.findall(head)}
    return "static" in words or not (words & {"override", "virtual"} or rest.lstrip().startswith(")"))


def _calls_another_of_its_name(matches: list[Captures], captures: Captures, code: str) -> bool:
    """Whether the function calls a name like its own that must be another's: an overload, or never to return."""
    own = min(captures.get("parameters", []), key=lambda node: node.start_byte, default=None)
    if own is None or own.parent is None:
        return False
    name = own.parent.child_by_field_name("name") or own.parent.child_by_field_name("declarator")
    calls = [match for match in matches if "callee" in match and name and _text(match["callee"][0]) == _text(name)]
    if not calls:
        return False
    fixed = not any(sign in _text(own) for sign in ("...", "params ", "="))
    other = any(_count(match["arguments"][0]) != _count(own) for match in calls)
    return (fixed and other) or not _CHOICE.search(code)


def _count(node: "Node") -> int:
    return sum("comment" not in child.type for child in node.named_children)


def _declared(node: "Node") -> Iterator[str]:
    """The names that a C++ declarator declares."""
    inner = node.child_by_field_name("declarator")
    if node.type == "init_declarator" and inner is not None:
        yield from _declared(inner)
    elif node.type in ("identifier", "type_identifier"):
        yield _text(node)
    elif inner is not None:
        yield from _declared(inner)
    elif node.type != "qualified_identifier":
        for child in node.named_children:
            yield from _declared(child)


def _standard_name(node: "Node") -> str:
    """`std::NAME` for a qualified C++ name, whatever follows it; "" for one of another namespace."""
    scope, name = node.child_by_field_name("scope"), node.child_by_field_name("name")
    if scope is None or name is None or _text(scope) != "std":
        return ""
    return f"std::{_text(next(_leaves(name)))}"


def _imports(text: str, language: str, definition: dict[str, Any]) -> Iterator[Import]:
    for match in _matches(language, "imports", functions.parse_file(text, language)):
        statement, path = _text(match["statement"][0]), _text(match["path"][0]).strip("\"'`")
        if "*" in statement:
            continue
        if "name" in match:
            names = {_text(match["name"][0])}
        elif "names" in match:
            names = {name for node in match["names"] for name in _imported(node)}
        else:
            names = set(_WORD.findall(_GO_VERSION.sub("", path))[-1:])
        yield Import(definition.get("prefix", "") + statement, path, frozenset(names))


def _imported(node: "Node") -> Iterator[str]:
    """The names that an import's list gives: of `a as b`, b."""
    if alias := node.child_by_field_name("alias") or node.child_by_field_name("value"):
        yield from _imported(alias)
    elif node.named_child_count == 0:
        yield _text(node)
    else:
        for child in node.named_children:
            yield from _imported(child)


@cache
def _libraries(language: str) -> list[Import]:
    definition = _definition(language)
    return [
        Import(definition["statement"].format(library), library, frozenset(names.split()))
        for library, names in definition["libraries"].items()
    ]


def _may_need_library(code: str, language: str) -> bool:
    """Whether all words of one of the standard library's names stand in `code`."""
    words = set(_WORD.findall(code))
    known = _library_words(language)
    return any(name <= words for word in known.keys() & words for name in known[word])


@cache
def _library_words(language: str) -> dict[str, list[frozenset[str]]]:
    """The words of each name of the standard library, by the longest of them, which few functions have."""
    found: dict[str, list[frozenset[str]]] = {}
    for name in sorted(_library_names(language) if "libraries" in _definition(language) else ()):
        words = frozenset(_WORD.findall(name))
        found.setdefault(max(sorted(words), key=len), []).append(words)
    return found


@cache
def _library_names(language: str) -> frozenset[str]:
    return frozenset[str]().union(*(one.names for one in _libraries(language)))


def _given(statements: list[str], language: str) -> frozenset[str]:
    return frozenset[str]().union(*(one.names for one in find_imports("\n".join(statements), language)))


def _is_standard(path: str, language: str) -> bool:
    if language == "Python":
        return path.partition(".")[0] in _words("Python", "standard")
    definition = _definition(language)
    return "libraries" in definition or bool(re.search(definition["standard"], path))


def _matches(language: str, query: str, node: "Node") -> list[Captures]:
    from tree_sitter import QueryCursor

    return [captures for _, captures in QueryCursor(_query(language, query)).matches(node)]


@cache
def _query(language: str, name: str) -> "Query":
    from tree_sitter import Query

    return Query(functions.grammar_of(language), _definition(language)[name])


@cache
def _words(language: str, key: str) -> frozenset[str]:
    return frozenset(_definition(language)[key].split())


def _definition(language: str) -> dict[str, Any]:
    return dict(_definitions()[language])


@cache
def _definitions() -> dict[str, dict[str, Any]]:
    from ruamel.yaml import YAML

    return dict(YAML(typ="safe", pure=True).load(_DEFINITIONS))


def _leaves(node: "Node") -> Iterator["Node"]:
    """The nodes without children at or below `node`, in their order; code may nest deeper than Python's stack."""
    left = [node]
    while left:
        node = left.pop()
        if node.child_count == 0:
            yield node
        left += reversed(node.children)


def _text(node: "Node") -> str:
    return (node.text or b"").decode()
