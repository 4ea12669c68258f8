"""A source from its first byte to its rows in their order; what is held in memory is a key of 0.3 kB a row.

Pieces are read (stages/lib/corpus/reader.py), of their rows those within the source's `take` are chosen, and these are
sorted by source, path, line and id. Which rows are chosen depends on the source's bytes, its `take`, `per_file` and
`only`, and the shape alone.
"""

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.lib import artifacts, checkpoint, records, shards
from stages.lib.corpus import archives, codesearchnet, hub, reader, repositories, tablefiles
from stages.lib.corpus.codesearchnet import SetAside
from stages.lib.corpus.functions import language_of
from stages.lib.corpus.reader import File, Found, Piece, Save
from stages.lib.corpus.sources import CodeSearchNet, Git, Hub, Package, Source, Table, Tree

DOWNLOADS_AT_ONCE = 6  # their clients wait for a registry most of the time
PIECE_BYTES = 1_000_000  # of files
PIECE_ROWS = 4096
_METADATA = re.compile(r"dist-info/METADATA$|(?:^|/)PKG-INFO$|^package/package\.json$")
_METADATA_LICENSE = re.compile(
    rb'^(?:License(?:-Expression)?: |  "license": ")(' + reader.EXPRESSION + rb')"?,?\r?$', re.MULTILINE
)
_PIECES = "pieces.json"
_ORDER = ["source", "path", "line", "id", "at"]  # `at`: the place among what was read, for rows that are alike


def prefetch(sources: Iterable[Source]) -> None:
    """Download what is not here yet, several at once, and look at the tables.

    Raises `BadInput` for a source that cannot be had or read, before any is read.
    """
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        list(pool.map(_look_at, sources))


def _look_at(source: Source) -> None:
    if isinstance(source, Package):
        reader.fetch(source)
    elif isinstance(source, Git):
        repositories.fetch(source)
    elif isinstance(source, Table):
        tablefiles.check(source)
    elif isinstance(source, Hub):
        hub.check(source)


class Intake:
    """What came of a source: `set_aside`, `skipped_files` and `skipped_functions`, and its `rows`.

    `extract` makes the saves of pieces, in their order, in the folder `scratch`, where files are made room for too; the
    source is the one of this `number`.
    """

    def __init__(
        self, source: Source, extract: Callable[[Iterable[Piece]], Iterator[Save]], scratch: Path, number: int = 0
    ) -> None:
        self.set_aside: list[dict[str, Any]] = []
        self.skipped_files: Counter[str] = Counter()
        self.skipped_functions: Counter[str] = Counter()
        self._source, self._scratch, self._number = source, scratch, number
        self._left: dict[str, int] | None = None  # functions of each language still to be taken
        self._license = "" if isinstance(source, CodeSearchNet) else source.license or ""
        self._saves: list[Save] = []
        self._taken: list[np.ndarray] = []  # of each save the rows that are chosen
        if isinstance(source, CodeSearchNet):
            self._read(extract(_published(source)))
            if source.take is not None:
                self._take_by_id(source.take)
        else:
            self._left = None if source.take is None else dict(source.take)
            self._read(extract(self._files()))
            if source.take is None and not isinstance(source, Table | Hub):  # as a limit would take them
                self.set_aside.sort(key=lambda entry: _place(entry["file"]))

    @property
    def count(self) -> int:
        """How many rows are chosen."""
        return sum(map(len, self._taken))

    def rows(self) -> Iterator[pa.Table]:
        """The chosen rows, sorted, as tables of `records.FUNCTION`."""
        if not self.count:
            return
        keys = pa.concat_tables(self._keys()).combine_chunks()
        order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in _ORDER]).to_numpy()
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        del keys, order
        yield from _dealt(self._chosen(), place, self._scratch)

    def _read(self, saves: Iterator[Save]) -> None:
        for save in saves:
            taken: list[int] = []
            at = 0
            for one in save.found:
                self._note(one)
                most = one.rows if self._left is None else min(one.rows, self._left.get(one.language, 0))
                taken += range(at, at + most)
                at += one.rows
                if self._left is not None and most:
                    self._left[one.language] -= most
            self._saves.append(save)
            self._taken.append(np.array(taken, np.int64))
            if self._left is not None and not any(self._left.values()):
                return

    def _note(self, one: Found) -> None:
        self.set_aside += one.set_aside
        self.skipped_files.update([one.skipped_file] if one.skipped_file else [])
        self.skipped_functions.update(one.skipped_functions)

    def _take_by_id(self, limits: dict[str, int]) -> None:
        """In the order of their ids, a limit takes a fair share of every repository."""
        held = pa.concat_tables([save.rows(["id", "language"]) for save in self._saves] or [_nothing()])
        ids = np.array(held["id"].to_pylist(), "S")
        languages = np.array(held["language"].to_pylist(), object)
        chosen = np.zeros(len(ids), bool)
        for language, most in limits.items():
            those = np.flatnonzero(languages == language)
            chosen[those[np.argsort(ids[those], kind="stable")[:most]]] = True
        ends = np.cumsum([len(rows) for rows in self._taken])[:-1]
        self._taken = [np.flatnonzero(part) for part in np.split(chosen, ends)]

    def _files(self) -> Iterator[Piece]:
        """The source's files in pieces: as they come, or with a limit in the order of their paths' hashes, in which it
        takes a fair share of the whole source. Of a table a limit takes the first rows, and reads no further."""
        source = self._source
        assert not isinstance(source, CodeSearchNet)
        if isinstance(source, Hub):
            yield from self._streamed(source)
        elif isinstance(source, Table):
            yield from self._pieces(tablefiles.read(source), source.unit == "function")
        else:
            files = repositories.read(source) if isinstance(source, Git) else self._wanted(source)
            yield from self._pieces(files if source.take is None else _by_hash(files, self._scratch))

    def _streamed(self, source: Hub) -> Iterator[Piece]:
        """The dataset's files, a shard's own alone. One whose pieces were all saved is not downloaded again."""
        for number, file in enumerate(hub.files(source)):
            if not shards.takes(number):
                continue
            listed = self._scratch / f"stream-{self._number:04d}-{number:05d}"
            if pieces := self._saved(listed):
                yield from (Piece(source.label, saved=one, share=number) for one in pieces)
                continue
            for piece in self._pieces(hub.read(source, file), source.unit == "function"):
                piece = replace(piece, share=number)
                pieces.append(piece.fingerprint)
                yield piece
            with checkpoint.made(listed) as folder:
                artifacts.write_json(folder / _PIECES, pieces)

    def _saved(self, listed: Path) -> list[str]:
        """The fingerprints of a file's pieces, if all of them were made."""
        pieces = artifacts.read_json(listed / _PIECES) if checkpoint.is_valid(listed) else []
        made = (checkpoint.is_valid(self._scratch / reader.save_name(self._number, one)) for one in pieces)
        return list(map(str, pieces)) if all(made) else []

    def _pieces(self, entries: Iterable[File | SetAside], whole: bool = False) -> Iterator[Piece]:
        source = self._source
        assert not isinstance(source, CodeSearchNet)
        for files in _cut(entries):
            left = None if self._left is None else dict(self._left)
            yield Piece(source.label, files=files, whole=whole, most=source.per_file, left=left)

    def _wanted(self, source: Tree | Package) -> Iterator[File]:
        def wanted(path: str) -> bool:
            return bool(language_of(path)) or bool(_METADATA.search(path))

        if isinstance(source, Tree):
            files = archives.read_tree(Path(source.path).expanduser(), wanted)
        else:
            files = archives.read_archive(reader.fetch(source), wanted)
        for path, data in files:
            language = language_of(path)
            if not self._license and _METADATA.search(path):
                self._license = reader.first_match(_METADATA_LICENSE, data)
            if language and (source.take is None or language in source.take) and reader.is_selected(path, source.only):
                yield File(path, language, data)

    def _keys(self) -> Iterator[pa.Table]:
        at = 0
        for save, taken in zip(self._saves, self._taken, strict=True):
            columns = save.rows(_ORDER[:-1]).take(taken)
            large = [columns[name].cast(pa.large_string()) if name != "line" else columns[name] for name in _ORDER[:-1]]
            yield pa.table([*large, pa.array(range(at, at + len(taken)), pa.int64())], names=_ORDER)
            at += len(taken)

    def _chosen(self) -> Iterator[pa.Table]:
        for save, taken in zip(self._saves, self._taken, strict=True):
            rows = save.rows().take(taken)
            if self._license:
                own = rows["license"]
                filled = pc.if_else(pc.equal(own, ""), self._license, own)
                rows = rows.set_column(rows.schema.get_field_index("license"), "license", filled)
            yield rows


def _published(source: CodeSearchNet) -> Iterator[Piece]:
    if source.path:
        path = Path(source.path).expanduser()
    else:
        path = codesearchnet.download(source.hub or "", source.revision or "")
    rows = codesearchnet.read_files(path)
    while piece := tuple(islice(rows, PIECE_ROWS)):
        yield Piece(source.label, rows=piece)


def _cut(entries: Iterable[File | SetAside]) -> Iterator[tuple[File | SetAside, ...]]:
    """The files in pieces of PIECE_BYTES, and a file more, or of PIECE_ROWS."""
    piece: list[File | SetAside] = []
    size = 0
    for one in entries:
        piece.append(one)
        size += len(one.data) if isinstance(one, File) else 0
        if size >= PIECE_BYTES or len(piece) == PIECE_ROWS:
            yield tuple(piece)
            piece, size = [], 0
    if piece:
        yield tuple(piece)


def _by_hash(files: Iterable[File], scratch: Path) -> Iterator[File]:
    """The files in the order of their paths' hashes; until then they lie on the disk."""
    with tempfile.TemporaryFile(dir=scratch) as spool:
        held = []
        for file in files:
            held.append((_place(file.path), file._replace(data=b""), spool.tell(), len(file.data)))
            spool.write(file.data)
        held.sort(key=lambda entry: entry[0])
        for _, file, start, size in held:
            spool.seek(start)
            yield file._replace(data=spool.read(size))


def _place(path: str) -> bytes:
    return hashlib.sha256(path.encode(errors="surrogateescape")).digest()


def _dealt(tables: Iterable[pa.Table], place: np.ndarray, scratch: Path) -> Iterator[pa.Table]:
    """The rows of `tables`, one after another, in the order of their `place`: dealt out to files of PART_ROWS rows,
    each of which is then sorted by itself."""
    size = records.PART_ROWS
    schema = pa.schema([*records.FUNCTION, ("place", pa.int64())])
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        files = [Path(folder) / str(number) for number in range(-(-len(place) // size))]
        with ExitStack() as stack:
            outs = [stack.enter_context(pa.ipc.new_stream(str(file), schema)) for file in files]
            at = 0
            for rows in tables:
                places = place[at : at + len(rows)]
                at += len(rows)
                rows = rows.append_column("place", pa.array(places, pa.int64()))
                for number in np.unique(places // size):
                    outs[number].write_table(rows.take(np.flatnonzero(places // size == number)))
        for file in files:
            with pa.OSFile(str(file)) as held, pa.ipc.open_stream(held) as stream:
                rows = stream.read_all()
            order = np.argsort(rows["place"].to_numpy())
            yield rows.select(records.FUNCTION.names).combine_chunks().take(order)
            file.unlink()


def _nothing() -> pa.Table:
    return records.FUNCTION.empty_table()
