"""The kinds of places that functions come from, as `collect.sources` of params.yaml names them."""

from typing import Annotated, Any, Literal

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

    name: str
    take: dict[Language, Positive] | None = None

    @property
    def label(self) -> str:
        """What its rows name as their source; of a table, before a repository."""
        return self.name


class FileSample(Sample):
    """What is taken of a source that is made of source files."""

    per_file: Positive | None = None  # functions of one file at most
    only: list[str] | None = None  # paths inside the source, with * for anything; null: all


class Columns(Section):
    """Where a table holds what; dots go into nested columns (`metadata.file_path`)."""

    code: str
    path: str | None = None
    language: str | None = None
    repository: str | None = None
    license: str | None = None  # an SPDX expression, or a list of them that all hold


class Tree(FileSample):
    """A folder of source code on this machine, an archive of one, or a table with a row a file. Where it lies is no
    part of the result, its `name` is."""

    kind: Literal["tree"]
    path: str = Field(exclude=True)
    license: str = ""


class Package(FileSample):
    """A package at a pinned version whose archive must have a pinned sha256."""

    kind: Literal["package"]
    registry: Registry
    version: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    form: Form = "wheel"  # pip's; the other clients have one form
    license: str = ""

    @property
    def label(self) -> str:
        """What its rows name as their source."""
        return f"{self.name}=={self.version}"


class Git(FileSample):
    """The files of a commit. Where the repository lies is no part of the result."""

    kind: Literal["git"]
    repository: str = Field(exclude=True)  # a URL, or a folder on this machine
    revision: str  # the commit's full hash
    license: str | None = None  # null: that of the licence file nearest to each file

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: dict[str, Any]) -> dict[str, Any]:
        last = str(values.get("repository", "")).rstrip("/").rpartition("/")[2].rpartition(":")[2]
        return {"name": last.removesuffix(".git"), **values}

    @property
    def label(self) -> str:
        """What its rows name as their source."""
        return f"{self.name}@{self.revision}"


class _Rows(FileSample):
    """A table with a row a file, or a row a function."""

    columns: Columns
    unit: Literal["file", "function"] = "file"
    language: Language | None = None  # of every row, where no column and no path says it
    license: str = ""  # of rows that say none

    @model_validator(mode="after")
    def _fitting(self) -> "_Rows":
        if self.language and self.columns.language:
            raise ValueError("name either language, which is every row's, or columns.language")
        if not (self.language or self.columns.language or self.columns.path):
            raise ValueError("nothing says the rows' language: name columns.language, columns.path or language")
        if self.only and not self.columns.path:
            raise ValueError("only chooses paths: name columns.path")
        if self.per_file and self.unit == "function":
            raise ValueError("per_file goes with unit: file")
        return self


class Table(_Rows):
    """A Parquet or JSONL file on this machine, or a folder of them."""

    kind: Literal["table"]
    path: str = Field(exclude=True)


class Hub(_Rows):
    """A dataset of the hub, of Parquet or JSONL files, read as they come over the network."""

    kind: Literal["hub"]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    config: str | None = None
    split: str = "train"

    @property
    def label(self) -> str:
        """What its rows name as their source, a repository behind it."""
        return f"{self.name}@{self.revision[:10]}"


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


Source = Annotated[Tree | Package | Git | Table | Hub | CodeSearchNet, Field(discriminator="kind")]
