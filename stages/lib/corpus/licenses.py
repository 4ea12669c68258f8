"""SPDX licence expressions, parsed by license-expression."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from stages.lib.errors import BadInput


class Allowed:
    """The licences that code may have: SPDX names, or names with an exception (`A WITH B`).

    Raises `BadInput` for a name that is no licence expression.
    """

    def __init__(self, names: Sequence[str]) -> None:
        parsed = {name: parse(name) for name in names}
        if unreadable := [name for name, expression in parsed.items() if expression is None]:
            raise BadInput(f"filter.licenses.allowed: {unreadable[0]!r} is no SPDX licence; correct it in params.yaml")
        self._names = {str(expression) for expression in parsed.values()}

    def permits(self, expression: Any) -> bool:
        """Whether a parsed expression leaves a choice that is allowed as a whole.

        An exception only ever grants more, so `A WITH B` is allowed where A is.
        """
        if hasattr(expression, "license_symbol"):
            return str(expression) in self._names or str(expression.license_symbol) in self._names
        if expression.isliteral:
            return str(expression) in self._names
        enough = all if isinstance(expression, _spdx().AND) else any
        return enough(self.permits(part) for part in expression.args)


@cache
def parse(expression: str) -> Any | None:
    """The expression, its names in SPDX's own spelling, or None if it is empty or cannot be parsed."""
    from license_expression import ExpressionError

    try:
        return _spdx().parse(expression)
    except ExpressionError:
        return None


def is_known(expression: Any) -> bool:
    """Whether SPDX has every licence of a parsed expression."""
    return not _spdx().unknown_license_keys(expression)


@cache
def _spdx() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()
