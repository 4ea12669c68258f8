# Runs inside the sandbox, in the process of the function that is observed (../__init__.py): every version of it is
# called with every argument list, and what comes of each call is told as text.
import collections.abc
import itertools
import sys
from typing import Any

MOST_LINES = 4000  # that a call may run: a loop without end is found out by counting, the same on every machine
MOST_ITEMS = 40  # of an iterator
LONGEST = 100  # characters of a result
PLAIN = (bool, int, str)


class TidemillEndless(BaseException):
    """Not an Exception, which the function itself might catch."""


def tidemill_trial(versions: list[str], name: str, calls: list[str]) -> list[list[list[str]]]:
    """For each version, for each call: ["value" or "items", text], ["raises", type], or ["none", why]."""
    return [tidemill_version(source, name, calls) for source in versions]


def tidemill_version(source: str, name: str, calls: list[str]) -> list[list[str]]:
    space: dict[str, Any] = {"__name__": "observed"}
    try:
        exec(compile(source, "observed.py", "exec"), space)
        function = space[name]
    except Exception as error:
        return [["raises", type(error).__name__]] * len(calls)
    return [tidemill_call(function, arguments) for arguments in calls]


def tidemill_call(function: Any, arguments: str) -> list[str]:
    left = [MOST_LINES]

    def count(frame: Any, event: str, argument: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise TidemillEndless
        return count

    given = eval(f"({arguments},)" if arguments else "()", {"__builtins__": {}})
    sys.settrace(count)
    try:
        value, kind = function(*given), "value"
        if isinstance(value, collections.abc.Iterator):
            value, kind = list(itertools.islice(value, MOST_ITEMS + 1)), "items"
    except TidemillEndless:
        return ["none", "endless"]
    except BaseException as error:
        return ["raises", type(error).__name__]
    finally:
        sys.settrace(None)
    if kind == "items" and len(value) > MOST_ITEMS:
        return ["none", "endless"]
    text = tidemill_text(value)
    return [kind, text] if text is not None and len(text) <= LONGEST else ["none", "no plain value"]


def tidemill_text(value: Any, depth: int = 0) -> str | None:
    """The literal of a plain value; None for any other, and for floats with many digits, whose last ones may differ
    between machines."""
    if value is None:
        return "None"
    if type(value) in PLAIN:
        return repr(value) if type(value) is not int or abs(value) < 10**15 else None
    if type(value) is float:
        return repr(value) if abs(value) < 1e6 and len(repr(value)) <= 8 else None
    if depth > 4 or type(value) not in (list, tuple, set, dict):
        return None
    if type(value) is dict:
        pairs = [(tidemill_text(key, depth + 1), tidemill_text(one, depth + 1)) for key, one in value.items()]
        if any(None in pair for pair in pairs):
            return None
        return "{" + ", ".join(f"{key}: {one}" for key, one in pairs) + "}"
    texts = [tidemill_text(one, depth + 1) for one in value]
    items = [text for text in texts if text is not None]
    if len(items) < len(texts) or (type(value) is set and not items):
        return None
    if type(value) is set:
        return "{" + ", ".join(sorted(items)) + "}"
    inside = ", ".join(items)
    return f"[{inside}]" if type(value) is list else f"({inside},)" if len(items) == 1 else f"({inside})"
