"""The kinds of places that functions come from, as `collect.sources` of params.yaml names them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from stages.lib.corpus import functions
from stages.lib.packages import Form, Registry
from stages.lib.params import Section


def _known(language: str) -> str:
    if language not in functions.languages():
        raise ValueError(f"no language {language!r}; the languages are {', '.join(functions.languages())}")
    return language


Language = Annotated[str, AfterValidator(_known)]
Positive = Annotated[int, Field(gt=0)]


class Shape(Section):
    """Which functions of trees and packages are worth taking; CodeSearchNet's files are filtered so already."""

    least_lines: Positive  # lines of code that are not blank, the function's head among them
    omit_names: list[str]  # regular expressions, searched in a function's name


class Sample(Section):
    """What is taken of a source: of each language so many functions at most (null: all of every language)."""

    take: dict[Language, Positive] | None = None


class FileSample(Sample):
    """What is taken of a source that is made of source files."""

    per_file: Positive | None = None  # functions of one file at most
    only: list[str] | None = None  # paths inside the source, with * for anything; null: all


class Tree(FileSample):
    """A folder of source code on this machine, an archive of one, or a table with a row a file. Where it lies is no
    part of the result, its `name` is."""

    kind: Literal["tree"]
    name: str
    path: str = Field(exclude=True)
    license: str = ""


class Package(FileSample):
    """A package at a pinned version whose archive must have a pinned sha256."""

    kind: Literal["package"]
    registry: Registry
    name: str
    version: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    form: Form = "wheel"  # pip's; the other clients have one form
    license: str = ""


class CodeSearchNet(Sample):
    """CodeSearchNet's files in a folder, one of them, or the hub's dataset of that name at a pinned revision."""

    kind: Literal["codesearchnet"]
    name: str = "codesearchnet"
    path: str | None = Field(default=None, exclude=True)
    hub: str | None = None
    revision: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> "CodeSearchNet":
        if (self.path is None) == (self.hub is None):
            raise ValueError("name either path or hub")
        if self.hub is not None and self.revision is None:
            raise ValueError("pin the hub's revision")
        return self


Source = Annotated[Tree | Package | CodeSearchNet, Field(discriminator="kind")]
