"""A test as a person is told of it: what a call returns."""

import ast
import json
from collections.abc import Iterable

SHORT = 80  # characters; a longer call is no example
NOTHING = ("None", "null", "[]", "()", "{}", "''", '""')  # results that show nothing
NO = ("False", "false")  # and little


def examples(lines: Iterable[str], name: str, language: str, most: int) -> list[str]:
    """At most `most` times "NAME(ARGUMENTS) returns RESULT", of the short ones of the tests `lines`: one that shows
    something, then those with other results. Empty if there is none, or calls in `language` are not written here."""
    told = [one for line in lines if (one := _tell(line, name, language))]
    short = [one for one in told if len(" returns ".join(one)) <= SHORT]
    left = sorted(short, key=lambda one: (one[1] in NOTHING, one[1] in NO))  # a stable sort: the tests' own order
    if not left or left[0][1] in NOTHING:
        return []
    shown = [left.pop(0)]
    while left and len(shown) < most:
        results = {one[1] for one in shown}
        shown.append(left.pop(next((place for place, one in enumerate(left) if one[1] not in results), 0)))
    return [" returns ".join(one) for one in shown]


def _tell(line: str, name: str, language: str) -> tuple[str, str] | None:
    """The call and its result in `language`; None for a test of another form."""
    match ast.parse(line.strip()).body:
        case [ast.Assert(test=ast.Compare(left=called, ops=[ast.Eq()], comparators=[result]))]:
            pass
        case _:
            return None
    match called:
        case ast.Call(func=ast.Name("candidate"), args=given, keywords=[]):
            form = f"{name}({{}})"
        case ast.Call(func=ast.Name("list"), args=[ast.Call(func=ast.Name("candidate"), args=given, keywords=[])]):
            form = f"list({name}({{}}))" if language == "Python" else ""
        case _:
            return None
    write = {"Python": ast.unparse, "JavaScript": _javascript}.get(language)
    if write is None or not form:
        return None
    try:
        return form.format(", ".join(map(write, given))), write(result)
    except (ValueError, TypeError):  # no literal, or one that JavaScript does not have
        return None


def _javascript(node: ast.expr) -> str:
    return json.dumps(ast.literal_eval(node), ensure_ascii=False)
