"""Reads sources into FUNCTION rows, sets aside what cannot be read, counts what is skipped.

A source is cut into pieces: some of its files, or some rows of CodeSearchNet's tables. `Extract` makes a piece's save,
in any process.
"""

import json
import pickle
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from stages.lib import checkpoint, packages, records
from stages.lib.corpus import codesearchnet, functions, names
from stages.lib.corpus.archives import MOST_BYTES
from stages.lib.corpus.codesearchnet import Raw, SetAside
from stages.lib.corpus.functions import Function, Unreadable, function_id
from stages.lib.corpus.sources import Package, Shape
from stages.lib.errors import BadInput

LONGEST_MEAN_LINE = 200  # characters; a file with a greater mean line is minified
HEAD = 2000  # bytes of a file in which the marks of a generator, or a licence, stand
_GENERATED = re.compile(rb"(?i)@generated|auto(?:matically|-)? ?generated|generated (?:by|from)|do not (?:edit|modify)")
EXPRESSION = rb"[^\s*/<>\",]+(?: (?:OR|AND|WITH) [^\s*/<>\",]+)*"
_SPDX = re.compile(rb"SPDX-License-Identifier:\s*(" + EXPRESSION + rb")")
_LFS = b"version https://git-lfs.github.com/spec/"
_ROWS, _FOUND = "rows.arrow", "found.json"


class File(NamedTuple):
    """A source file, or the row of a table that holds one. One that is `skipped` already says why."""

    path: str
    language: str
    data: bytes
    repository: str = ""  # inside the source
    license: str = ""  # unless the file itself says it
    skipped: str = ""


@dataclass(frozen=True)
class Piece:
    """Files of a source, and what of it is no file; or published rows.

    `most` functions are taken of each file, or it is one as a whole; no file is read whose language has none `left`.
    """

    name: str  # of the source, in each row
    files: tuple[File | SetAside, ...] = ()
    rows: tuple[Raw, ...] = ()
    whole: bool = False
    most: int | None = None
    left: dict[str, int] | None = None
    saved: str = ""  # the fingerprint of a piece that need not be read, since its save is there
    share: int | None = None  # decides which shard makes it; None: its place among all pieces

    @property
    def fingerprint(self) -> str:
        """A hash of all of it."""
        return self.saved or blake2b(pickle.dumps(self), digest_size=12).hexdigest()


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
        if fresh and piece.saved:
            raise BadInput(f"{save} was removed or changed while collect ran; run it again")
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
        for file in piece.files:
            if isinstance(file, SetAside):
                yield Found(set_aside=[{"source": piece.name, **vars(file)}])
            elif file.skipped:
                yield Found(file.path, skipped_file=file.skipped)
            elif piece.left is None or taken[file.language] < piece.left[file.language]:
                one = self._file(piece, file, rows)
                taken[file.language] += one.rows
                yield one

    def _file(self, piece: Piece, file: File, rows: list[dict[str, Any]]) -> Found:
        found = Found(file.path, file.language)
        if reason := _not_source(file, piece.whole):
            found.skipped_file = reason
            return found
        name = f"{piece.name}/{file.repository}" if file.repository else piece.name
        license = first_match(_SPDX, file.data[:HEAD]) or file.license
        for entry in self._functions(file, piece, found.skipped_functions):
            if isinstance(entry, SetAside):
                found.set_aside.append({"source": name, **vars(entry)})
            else:
                rows.append({**entry, "source": name, "license": license})
                found.rows += 1
        return found

    def _functions(self, file: File, piece: Piece, skipped: dict[str, int]) -> Iterator[dict[str, Any] | SetAside]:
        path, language, data = file[:3]
        try:
            text = data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            yield SetAside(path, line, f"not UTF-8: {error.reason} at byte {error.start}")
            return
        try:
            found = [_whole(text, language)] if piece.whole else list(functions.read(text, language))
            imports = names.find_imports(text, language)
        except Exception as error:  # whatever it is, it is this file's alone
            yield SetAside(path, 1, f"file cannot be read: {error!r}")
            return
        yield from (SetAside(path, one.line, one.reason) for one in found if isinstance(one, Unreadable))
        taken = (one for one in found if isinstance(one, Function) and (piece.whole or self._takes(one, skipped)))
        rows = [_row(one, path, language) for one in taken]
        for row in sorted(rows, key=lambda row: str(row["id"]))[: piece.most]:
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


def fetch(source: Package) -> Path:
    """The package's archive, from here or its registry."""
    return packages.fetch(source.registry, source.name, source.version, source.sha256, source.form)


def save_name(number: int, fingerprint: str) -> str:
    """The name of the save of a piece of the source of this number."""
    return f"piece-{number:04d}-{fingerprint}"


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


def _whole(text: str, language: str) -> Function:
    """The text as it is, but for a function's docstring and what stands around it."""
    found = functions.read_one(text, language)
    return Function("", text.strip("\n"), "", 1) if found is None else replace(found, line=1)


def _row(function: Function, path: str, language: str) -> dict[str, Any]:
    row = {"id": function_id(language, function.code), "language": language, "path": path}
    return row | vars(function)


def _not_source(file: File, whole: bool) -> str | None:
    """Why a file is no source that a person wrote, or None. A function as a `whole` was chosen already."""
    if len(file.data) > MOST_BYTES:
        return "larger than 1 MB"
    if whole:
        return None
    if file.data.startswith(_LFS):
        return "LFS pointer"
    if ".min." in file.path or len(file.data) > LONGEST_MEAN_LINE * (file.data.count(b"\n") + 1):
        return "minified"
    return "generated" if _GENERATED.search(file.data[:HEAD]) else None
