"""Where functions come from: a folder of source code, a package, CodeSearchNet's files."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from stages.lib.corpus import archives, codesearchnet, packages
from stages.lib.corpus.codesearchnet import SetAside
from stages.lib.corpus.functions import extract, function_id, language_of
from stages.lib.params import Section

Language = Literal["Python", "PHP", "Go", "Java", "JavaScript", "Ruby", "C++", "C#", "Rust"]
Positive = Annotated[int, Field(gt=0)]

MOST_BYTES = 1_000_000  # a larger file is data or generated
LONGEST_MEAN_LINE = 200  # characters; a file with a greater mean line is minified
_GENERATED = re.compile(rb"(?i)@generated|auto(?:matically|-)? ?generated|generated (?:by|from)|do not (?:edit|modify)")
_HEAD = 2000  # bytes of a file in which such a mark, or its licence, stands
_SPDX = re.compile(rb"SPDX-License-Identifier:\s*([^\s*/<>]+(?: (?:OR|AND|WITH) [^\s*/<>]+)*)")
_METADATA_LICENSE = re.compile(rb"^License(?:-Expression)?: ([A-Za-z0-9.+-]+)\r?$", re.MULTILINE)


class Sample(Section):
    """What is taken of a source: by language so many functions at most (null: all of every language)."""

    take: dict[Language, Positive] | None = None
    per_file: Positive | None = None  # functions of one file at most
    only: tuple[str, ...] = Field(default=("*",), strict=False)  # paths inside the source, with * for anything


class Tree(Sample):
    """A folder of source code on this machine. The folder's place does not count as part of the result."""

    kind: Literal["tree"]
    name: str
    path: str = Field(exclude=True)
    license: str = ""


class Package(Sample):
    """A package at a pinned version whose archive must have a pinned sha256."""

    kind: Literal["package"]
    registry: packages.Registry
    name: str
    version: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    form: packages.Form = "wheel"
    license: str = ""


class CodeSearchNet(Sample):
    """CodeSearchNet's files in a folder, or the hub's dataset of that name at a pinned revision."""

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


@dataclass
class Reading:
    """What came of the sources: rows as FUNCTION, what was set aside, files skipped by reason."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    set_aside: list[dict[str, Any]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def bad_rows(self) -> int:
        """How many rows were set aside; a file that cannot be read at all counts at least as one."""
        return sum(entry["rows"] for entry in self.set_aside)


def read(source: Tree | Package | CodeSearchNet, reading: Reading) -> None:
    """Add the functions of `source` to `reading`, in the order of path and line.

    Which of them are taken depends on the source's bytes and `take`, `per_file` and `only` alone.
    """
    name, entries = _entries(source, reading)
    counts: Counter[str] = Counter()
    rows = []
    for row in entries:
        if isinstance(row, SetAside):
            reading.set_aside.append({"source": name, **vars(row)})
        elif source.take is None or counts[row["language"]] < source.take.get(row["language"], 0):
            counts[row["language"]] += 1
            rows.append(row)
    reading.rows += sorted(rows, key=lambda row: (row["source"], row["path"], row["line"], row["id"]))


def _entries(
    source: Tree | Package | CodeSearchNet, reading: Reading
) -> tuple[str, Iterator[dict[str, Any] | SetAside]]:
    if isinstance(source, CodeSearchNet):
        folder = Path(source.path) if source.path else codesearchnet.download(source.hub or "", source.revision or "")
        return source.name, _shuffled(codesearchnet.read_files(folder, source.name), source)
    if isinstance(source, Tree):
        return source.name, _from_files(
            source.name, source.license, archives.read_folder(Path(source.path)), source, reading
        )
    archive = packages.fetch(source.registry, source.name, source.version, source.sha256, source.form)
    name = f"{source.name}=={source.version}"
    return name, _from_files(name, source.license, archives.read_archive(archive), source, reading)


def _shuffled(entries: Iterator[dict[str, Any] | SetAside], source: Sample) -> Iterator[dict[str, Any] | SetAside]:
    """With a limit, rows in the order of their ids, so that the limit takes a fair share of every repository."""
    if source.take is None:
        yield from entries
        return
    found = list(entries)
    yield from (entry for entry in found if isinstance(entry, SetAside))
    yield from sorted((entry for entry in found if isinstance(entry, dict)), key=lambda row: row["id"])


def _from_files(
    name: str, license: str, files: Iterable[tuple[str, bytes]], source: Sample, reading: Reading
) -> Iterator[dict[str, Any] | SetAside]:
    limits = {str(language): most for language, most in source.take.items()} if source.take is not None else None
    wanted = []
    for path, data in files:
        language = language_of(path)
        if not license and path.endswith(("dist-info/METADATA", "PKG-INFO")):
            license = _package_license(data)
        if language and (limits is None or language in limits) and any(fnmatch(path, p) for p in source.only):
            wanted.append((path, language, data))
    # In the order of the paths' hashes, a limit takes a fair share of the whole source.
    wanted.sort(key=lambda entry: hashlib.sha256(entry[0].encode()).digest())
    taken: Counter[str] = Counter()
    for path, language, data in wanted:
        if limits is not None and taken[language] >= limits[language]:
            continue
        if reason := _not_source(path, data):
            reading.skipped[reason] += 1
            continue
        for entry in _functions(path, language, data, source.per_file):
            if isinstance(entry, dict):
                taken[language] += 1
                entry |= {"source": name, "license": _file_license(data) or license}
            yield entry


def _functions(path: str, language: str, data: bytes, most: int | None) -> Iterator[dict[str, Any] | SetAside]:
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        yield SetAside(path, line, f"not UTF-8: {error.reason} at byte {error.start}")
        return
    rows = [
        {
            "id": function_id(language, function.code),
            "language": language,
            "name": function.name,
            "code": function.code,
            "docstring": function.docstring,
            "path": path,
            "line": function.line,
        }
        for function in extract(text, language)
    ]
    yield from sorted(rows, key=lambda row: str(row["id"]))[:most]


def _not_source(path: str, data: bytes) -> str | None:
    """Why a file is no source that a person wrote, or None."""
    if len(data) > MOST_BYTES:
        return "larger than 1 MB"
    if ".min." in path or len(data) > LONGEST_MEAN_LINE * (data.count(b"\n") + 1):
        return "minified"
    if _GENERATED.search(data[:_HEAD]):
        return "generated"
    return None


def _file_license(data: bytes) -> str:
    found = _SPDX.search(data[:_HEAD])
    return found.group(1).decode() if found else ""


def _package_license(metadata: bytes) -> str:
    """The SPDX identifier in a Python package's metadata; "" where it holds a title or a whole text."""
    found = _METADATA_LICENSE.search(metadata)
    return found.group(1).decode() if found else ""
