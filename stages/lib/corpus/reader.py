"""Reads sources into FUNCTION rows, sets aside what cannot be read, counts what is skipped."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from stages.lib import packages
from stages.lib.corpus import archives, codesearchnet, functions, names
from stages.lib.corpus.codesearchnet import SetAside
from stages.lib.corpus.functions import Function, Unreadable, function_id, language_of
from stages.lib.corpus.sources import CodeSearchNet, FileSample, Package, Sample, Shape, Tree
from stages.lib.errors import BadInput

Entry = dict[str, Any] | SetAside

MOST_BYTES = 1_000_000  # a larger file is data, or a program wrote it
DOWNLOADS_AT_ONCE = 6  # their clients wait for a registry most of the time
LONGEST_MEAN_LINE = 200  # characters; a file with a greater mean line is minified
_HEAD = 2000  # bytes of a file in which the marks of a generator, or a licence, stand
_GENERATED = re.compile(rb"(?i)@generated|auto(?:matically|-)? ?generated|generated (?:by|from)|do not (?:edit|modify)")
_EXPRESSION = rb"[^\s*/<>\",]+(?: (?:OR|AND|WITH) [^\s*/<>\",]+)*"
_SPDX = re.compile(rb"SPDX-License-Identifier:\s*(" + _EXPRESSION + rb")")
_METADATA = re.compile(r"dist-info/METADATA$|(?:^|/)PKG-INFO$|^package/package\.json$")
_METADATA_LICENSE = re.compile(
    rb'^(?:License(?:-Expression)?: |  "license": ")(' + _EXPRESSION + rb')"?,?\r?$', re.MULTILINE
)


class Reader:
    """What came of the sources read so far: `rows`, `set_aside`, and what was skipped by reason."""

    def __init__(self, shape: Shape) -> None:
        self.rows: list[dict[str, Any]] = []
        self.set_aside: list[dict[str, Any]] = []
        self.skipped_files: Counter[str] = Counter()
        self.skipped_functions: Counter[str] = Counter()
        self._least_lines = shape.least_lines
        self._omitted = _compile(shape.omit_names)

    @property
    def bad_rows(self) -> int:
        """How many rows were set aside; a file that cannot be read at all counts as one at least."""
        return sum(entry["rows"] for entry in self.set_aside)

    def read(self, source: Tree | Package | CodeSearchNet) -> None:
        """Add the functions of `source`, in the order of path and line.

        Which of them are taken depends on the source's bytes, its `take`, `per_file` and `only`, and the shape.
        """
        name, entries = self._open(source)
        limits = source.take
        counts: Counter[str] = Counter()
        rows = []
        for entry in entries:
            if isinstance(entry, SetAside):
                self.set_aside.append({"source": name, **vars(entry)})
            elif limits is None or counts[entry["language"]] < limits.get(entry["language"], 0):
                counts[entry["language"]] += 1
                rows.append(entry)
        self.rows += sorted(rows, key=lambda row: (row["source"], row["path"], row["line"], row["id"]))

    def _open(self, source: Tree | Package | CodeSearchNet) -> tuple[str, Iterator[Entry]]:
        if isinstance(source, CodeSearchNet):
            if source.path:
                path = Path(source.path).expanduser()
            else:
                path = codesearchnet.download(source.hub or "", source.revision or "")
            return source.name, _shuffled(codesearchnet.read_files(path, source.name), source)
        if isinstance(source, Tree):
            files = archives.read_tree(Path(source.path).expanduser())
            return source.name, self._from_files(files, source, source.name, source.license)
        archive = _fetch(source)
        name = f"{source.name}=={source.version}"
        return name, self._from_files(archives.read_archive(archive), source, name, source.license)

    def _from_files(
        self, files: Iterable[tuple[str, bytes]], sample: FileSample, name: str, license: str
    ) -> Iterator[Entry]:
        limits = sample.take
        wanted = []
        for path, data in files:
            language = language_of(path)
            if not license and _METADATA.search(path):
                license = _first(_METADATA_LICENSE, data)
            if language and (limits is None or language in limits) and _is_selected(path, sample.only):
                wanted.append((path, language, data))
        # In the order of the paths' hashes, a limit takes a fair share of the whole source.
        wanted.sort(key=lambda entry: hashlib.sha256(entry[0].encode()).digest())
        taken: Counter[str] = Counter()
        for path, language, data in wanted:
            if limits is not None and taken[language] >= limits[language]:
                continue
            for entry in self._from_file(path, language, data, sample.per_file):
                if isinstance(entry, dict):
                    taken[language] += 1
                    entry |= {"source": name, "license": _first(_SPDX, data[:_HEAD]) or license}
                yield entry

    def _from_file(self, path: str, language: str, data: bytes, most: int | None) -> Iterator[Entry]:
        if reason := _not_source(path, data):
            self.skipped_files[reason] += 1
            return
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
        rows = [_row(one, path, language) for one in found if isinstance(one, Function) and self._takes(one)]
        for row in sorted(rows, key=lambda row: str(row["id"]))[:most]:
            try:
                yield row | {"imports": names.used_imports(imports, row["code"], language)}
            except Exception as error:  # whatever it is, it is this function's alone
                yield SetAside(path, row["line"], f"function cannot be read: {error!r}")

    def _takes(self, function: Function) -> bool:
        if sum(bool(line.strip()) for line in function.code.splitlines()) < self._least_lines:
            self.skipped_functions["too few lines"] += 1
            return False
        if self._omitted.search(function.name):
            self.skipped_functions["omitted by name"] += 1
            return False
        return True


def prefetch(sources: Iterable[Tree | Package | CodeSearchNet]) -> None:
    """Download the archives that are not here yet, several at once. Raises `BadInput` if one cannot be had."""
    wanted = [source for source in sources if isinstance(source, Package)]
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        list(pool.map(_fetch, wanted))


def _fetch(source: Package) -> Path:
    return packages.fetch(source.registry, source.name, source.version, source.sha256, source.form)


def _compile(patterns: list[str]) -> re.Pattern[str]:
    try:
        return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or "(?!)")
    except re.error as error:
        raise BadInput(f"collect.shape.omit_names: {error} in one of {patterns}") from None


def _shuffled(entries: Iterator[Entry], sample: Sample) -> Iterator[Entry]:
    """With a limit, rows in the order of their ids, so that it takes a fair share of every repository."""
    if sample.take is None:
        yield from entries
        return
    found = list(entries)
    yield from (entry for entry in found if isinstance(entry, SetAside))
    yield from sorted((entry for entry in found if isinstance(entry, dict)), key=lambda row: row["id"])


def _row(function: Function, path: str, language: str) -> dict[str, Any]:
    row = {"id": function_id(language, function.code), "language": language, "path": path}
    return row | vars(function)


def _is_selected(path: str, only: list[str] | None) -> bool:
    return only is None or any(fnmatch(path, pattern) for pattern in only)


def _not_source(path: str, data: bytes) -> str | None:
    """Why a file is no source that a person wrote, or None."""
    if len(data) > MOST_BYTES:
        return "larger than 1 MB"
    if ".min." in path or len(data) > LONGEST_MEAN_LINE * (data.count(b"\n") + 1):
        return "minified"
    return "generated" if _GENERATED.search(data[:_HEAD]) else None


def _first(pattern: re.Pattern[bytes], data: bytes) -> str:
    found = pattern.search(data)
    return found.group(1).decode() if found else ""
