"""A section of params.yaml as a typed model; an unknown or misspelt key is an error.

A field declared with `Field(exclude=True)` (such as concurrency) changes how fast a stage works, never its result: it
is left out of `Section.result`, and so of every root hash.
"""

import difflib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from stages.lib.errors import BadInput

FILE = Path("params.yaml")
SHARED = "teacher"  # the section that no stage has: what the stages' own `teacher` keys override


class Section(BaseModel):
    """The base of every section's model: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @property
    def result(self) -> dict[str, Any]:
        """The parameters that can change the result, as plain JSON values."""
        return self.model_dump(mode="json")


SectionType = TypeVar("SectionType", bound=Section)


def load(section: str, model: type[SectionType], file: Path = FILE) -> SectionType:
    """Read `section` of `file` into `model`.

    Raises `BadInput`, naming the file and the key, for YAML that does not parse, a section that is
    missing, an unknown or missing key, or a value of the wrong type.
    """
    values = read(file)
    if section not in values:
        raise BadInput(f"{file}: section {section!r} is missing{_suggest(section, list(values))}")
    try:
        return model.model_validate(completed(values, section))
    except ValidationError as error:
        problems = "\n  ".join(_explain(section, model, detail) for detail in error.errors())
        own = values[section].get("teacher") if isinstance(values[section], dict) else None
        for key in values.get(SHARED, {}).keys() - (own or {}).keys():  # report it where it is written
            problems = problems.replace(f"{section}.teacher.{key}: ", f"teacher.{key}: ")
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


def read(file: Path = FILE) -> dict[str, Any]:
    """All of `file` as plain values. Raises `BadInput` if it is missing or not a YAML mapping."""
    from ruamel.yaml import YAML, YAMLError

    if not file.is_file():
        raise BadInput(f"{file} is missing; restore it with `git checkout {file}`")
    try:
        values = YAML(typ="safe", pure=True).load(file)
    except YAMLError as error:
        raise BadInput(f"{file} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise BadInput(f"{file} must have one section per stage at the top level")
    return values


def _explain(section: str, model: type[Section], detail: ErrorDetails) -> str:
    *parents, leaf = [section, *(str(part) for part in detail["loc"])]
    key = ".".join([*parents, leaf])
    if detail["type"] == "extra_forbidden":
        known = list(_fields(model, detail["loc"][:-1]))
        return f"{key}: unknown key{_suggest(leaf, known)}"
    if detail["type"] == "missing":
        return f"{key}: missing"
    return f"{key}: {detail['msg']}, found {detail['input']!r}"


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
