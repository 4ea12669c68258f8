"""A section of params.yaml, with the profile in force over it, as a typed model; an unknown key is an error.

A field declared with `Field(exclude=True)` (such as concurrency) changes how fast a stage works, never its result: it
is left out of `Section.result`, and so of every root hash.
"""

import copy
import difflib
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from stages.lib.errors import BadInput

FILE = Path("params.yaml")
PROFILE = Path("profile.yaml")  # the profile in force, beside params.yaml; `make PROFILE=NAME` writes it
SHARED = "teacher"  # the section that no stage has: what the stages' own `teacher` keys override


class Section(BaseModel):
    """The base of every section's model: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @property
    def result(self) -> dict[str, Any]:
        """The parameters that can change the result, as plain JSON values."""
        return self.model_dump(mode="json")


def new(default: Any) -> Any:
    """A field that came after datasets and models had been made: at its `default` it stays out of `Section.result`, so
    that these keep their root hashes."""
    return Field(default=default, exclude_if=lambda value: value == default)


SectionType = TypeVar("SectionType", bound=Section)


def load(section: str, model: type[SectionType], file: Path = FILE) -> SectionType:
    """Read `section` of `file`, with the profile in force over it, into `model`.

    Raises `BadInput`, naming the file and the key, for YAML that does not parse, a section that is
    missing, an unknown or missing key, or a value of the wrong type.
    """
    values = merged(file)
    if section not in values:
        raise BadInput(f"{file}: section {section!r} is missing{_suggest(section, list(values))}")
    try:
        return model.model_validate(completed(values, section))
    except ValidationError as error:
        own = values[section].get("teacher") if isinstance(values[section], dict) else None
        shared = values.get(SHARED, {}).keys() - (own or {}).keys()  # report these where they are written
        found = [_locate(section, detail, shared) for detail in error.errors()]
        profile = layer(file)
        problems = "\n  ".join(
            _explain(place, model, detail) + _blame(place, profile)
            for place, detail in zip(found, error.errors(), strict=True)
        )
        raise BadInput(f"{file}:\n  {problems}") from None


def parse(values: Any, model: type[SectionType], file: Path) -> SectionType:
    """`values` of the data file `file` as `model`. Raises `BadInput`, naming file and key."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{file}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None


def completed(values: dict[str, Any], section: str) -> Any:
    """`section` of `values`; its `teacher`, if any, inherits the keys of the section `teacher` that it does not set."""
    found, shared = values[section], values.get(SHARED)
    if isinstance(found, dict) and isinstance(found.get("teacher"), dict) and isinstance(shared, dict):
        return {**found, "teacher": {**shared, **found["teacher"]}}
    return found


def merged(file: Path = FILE) -> dict[str, Any]:
    """All of `file` with the profile in force over it. Raises `BadInput` as `read` does."""
    values = read(file)
    for section, own in layer(file).items():
        if section not in values:
            raise BadInput(f"{PROFILE} sets {section}, a section that {file} does not have; run `make PROFILE=default`")
        values[section] = over(values[section], own)
    return values


def layer(file: Path = FILE) -> dict[str, dict[str, Any]]:
    """The values of profile.yaml beside params.yaml `file`, by section; {} without one, or beside any other file.

    A key that DVC tracks apart from its section is kept apart: `evolve_rounds` holds what belongs under `evolve`.
    """
    profile = file.with_name(PROFILE.name)
    if file.name != FILE.name or not profile.is_file():
        return {}
    sections: dict[str, dict[str, Any]] = {}
    for name, own in read(profile).items():
        if name not in ("profile", "reads") and own:
            section = name.partition("_")[0]
            sections[section] = {**sections.get(section, {}), **own}
    return sections


def over(below: Any, above: Any) -> Any:
    """`above` laid over `below`: mappings key by key, anything else replaced."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {**below, **{key: over(below.get(key), value) for key, value in above.items()}}


def read(file: Path = FILE) -> dict[str, Any]:
    """All of `file` as plain values, without a profile. Raises `BadInput` if it is missing or not a YAML mapping."""
    if not file.is_file():
        raise BadInput(f"{file} is missing; restore it with `git checkout {file}`")
    values = _parse(file.read_text(encoding="utf-8"), str(file))
    if not isinstance(values, dict):
        raise BadInput(f"{file} must have one section per stage at the top level")
    return copy.deepcopy(values)


@lru_cache(maxsize=16)
def _parse(text: str, name: str) -> Any:
    """YAML as plain values; kept, since to check all sections reads params.yaml often and parsing it takes long."""
    from ruamel.yaml import YAML, YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise BadInput(f"{name} is not valid YAML: {error}") from None


def _locate(section: str, detail: ErrorDetails, shared: Collection[str]) -> list[str]:
    """Where the key of an error is written: its section and the keys below it."""
    parts = [str(part) for part in detail["loc"]]
    if len(parts) > 1 and parts[0] == "teacher" and parts[1] in shared:
        return [SHARED, *parts[1:]]
    return [section, *parts]


def _explain(place: list[str], model: type[Section], detail: ErrorDetails) -> str:
    key = ".".join(place)
    if detail["type"] == "extra_forbidden":
        known = list(_fields(model, detail["loc"][:-1]))
        return f"{key}: unknown key{_suggest(place[-1], known)}"
    if detail["type"] == "missing":
        return f"{key}: missing"
    return f"{key}: {detail['msg']}, found {detail['input']!r}"


def _blame(place: list[str], profile: Any) -> str:
    """Says that the profile in force, not params.yaml, holds the value at `place`, if it does."""
    for part in place:
        if not isinstance(profile, dict) or part not in profile:
            return ""
        profile = profile[part]
    return " (set by the profile in force; `make profile` names it)"


def _fields(model: Any, path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        model = field.annotation if field else None
    return list(model.model_fields) if hasattr(model, "model_fields") else []


def _suggest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""
