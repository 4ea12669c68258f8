"""Draws argument lists that suit a function's parameters. Which ones a function gets depends on its id alone.

The values stand in a language's values.yaml, Python literals by kind; a parameter's annotation or name tells which kind
it likely takes (`hints`, the first that matches). A language whose functions take anything without complaint is `lax`:
there a type that is told is kept, values of any kind come last, and some values are taken out of one before, as the
key of an object is.
"""

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from stages.lib.tasks.draws import draw_number

LONGEST = 100  # characters of a call's arguments
MOST_OF_DOCUMENTATION = 12
TRIES = 4  # draws for each call that is wanted, since some come twice
MOST_SPREAD = 3  # values for a parameter that takes the rest
ANY_FROM = 32  # of a lax language: the draw from which on values are of any kind


@dataclass(frozen=True)
class Parameter:
    """A parameter's name, its type as the function or its documentation writes it, or "", and the fields that the
    function reads of it."""

    name: str
    annotation: str
    fields: tuple["Parameter", ...] = ()


@dataclass(frozen=True)
class Shape:
    """What a function can be called with: the last so many of its parameters are `optional`, and `spread` takes the
    rest, if there is one; `constants`: values that stand in it, by kind, on which its branches turn."""

    parameters: Sequence[Parameter]
    optional: int
    spread: Parameter | None
    constants: Mapping[str, list[str]]


def calls(documented: Iterable[str], identity: str, shape: Shape, values: Mapping[str, Any], most: int) -> list[str]:
    """At most `most` argument lists, those `documented` first."""
    found: dict[str, None] = {}
    drawn = (_Turn(identity, number, shape, values).arguments() for number in range(most * TRIES))
    for call in chain(islice(documented, MOST_OF_DOCUMENTATION), drawn):
        if len(call) <= LONGEST:
            found[call] = None
        if len(found) == most:
            break
    return list(found)


def constants(values: Iterable[Any]) -> dict[str, list[str]]:
    """Of the `values` that stand in a function those that may be arguments, and the whole numbers beside them: its
    branches turn on these."""
    found: dict[str, set[str]] = {"int": set(), "text": set()}
    for value in values:
        if type(value) is int and abs(value) <= 1000:
            found["int"] |= {str(value + step) for step in (-1, 0, 1)}
        elif type(value) is str and 0 < len(value) <= 12:
            found["text"].add(repr(value))
    return {kind: sorted(texts) for kind, texts in found.items()}


def closing(text: str, start: int) -> int:
    """Where the bracket is closed that was opened before `start`; `start` if it is not."""
    depth = 1
    for place in range(start, len(text)):
        depth += (text[place] in "([{") - (text[place] in ")]}")
        if depth == 0:
            return place
    return start


@dataclass(frozen=True)
class _Turn:
    """One argument list as it is drawn."""

    key: str
    number: int
    shape: Shape
    data: Mapping[str, Any]

    def arguments(self) -> str:
        parameters, optional = self.shape.parameters, self.shape.optional
        taken = len(parameters) - optional
        taken += self._draw("optional", optional + 1) if optional and self.number % 2 else 0
        given = list(parameters[:taken])
        if self.shape.spread and taken == len(parameters):
            given += [self.shape.spread] * (1 + self._draw("spread", MOST_SPREAD))
        values: list[str] = []
        for place, parameter in enumerate(given):
            values.append(self._value(parameter, place, values))
        return ", ".join(values)

    def _draw(self, what: str, below: int) -> int:
        return draw_number(f"{self.key}:{self.number}:{what}", below)

    def _value(self, parameter: Parameter, place: int, before: list[str]) -> str:
        kinds, is_told = _kinds(parameter, self.data)
        is_lax = self.data.get("lax", False)
        if is_lax and self._draw(f"part {place}", 3) == 0 and (parts := _parts(before, kinds, self.data)):
            return parts[self._draw(f"part of {place}", len(parts))]
        if parameter.fields and self._draw(f"fields {place}", 4):
            pairs = [f"{one.name!r}: {self._field(one, place)}" for one in parameter.fields]
            return f"{{{', '.join(pairs)}}}"
        if self._draw(f"any {place}", 5) == 0 and not (is_lax and (is_told or self.number < ANY_FROM)):
            kinds = list(self.data["values"])
        kind = kinds[self._draw(f"kind {place}", len(kinds))]
        choices = self.data["values"][kind]
        if self.shape.constants.get(kind) and self._draw(f"own {place}", 4) == 0:
            choices = self.shape.constants[kind]
        return str(choices[self._draw(f"value {place}", len(choices))])

    def _field(self, field: Parameter, place: int) -> str:
        kinds, _ = _kinds(field, self.data)
        choices = self.data["values"][kinds[self._draw(f"kind {place} {field.name}", len(kinds))]]
        return str(choices[self._draw(f"value {place} {field.name}", len(choices))])


def _parts(values: list[str], likely: list[str], data: Mapping[str, Any]) -> list[str]:
    """The items of the last of the `values` that has any, of a list or an object's keys; only of the `likely` types."""
    types = {type(_read(choice)) for kind in likely for choice in data["values"][kind]}
    for text in reversed(values):
        value = _read(text)
        if isinstance(value, list | dict) and value:
            return [repr(item) for item in value if type(item) in types]
    return []


@lru_cache(maxsize=4096)
def _read(literal: str) -> Any:
    return ast.literal_eval(literal)


def _kinds(parameter: Parameter, data: Mapping[str, Any]) -> tuple[list[str], bool]:
    """The kinds of values that a parameter likely takes, by its annotation or name; whether by its annotation."""
    for hint in data["hints"]:
        if "annotation" in hint and parameter.annotation and re.search(hint["annotation"], parameter.annotation):
            return list(hint["kinds"]), True
        if "name" in hint and re.search(hint["name"], parameter.name):
            return list(hint["kinds"]), False
    return list(data["otherwise"]), False
