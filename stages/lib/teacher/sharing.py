"""The journal's sealed segments: what one person paid for, others replay for free.

`journal/shared` holds immutable segments: journal records in key order, compressed, each file named by the sha256 of
its bytes. Only segments are tracked, never the journal that a run writes, so no checkout can lose an answer. Sharing is
a union: a record whose request hash is already known is not imported again. executors/tracking/journal.py carries the
segments.
"""

import fcntl
import hashlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.lib.errors import BadInput
from stages.lib.teacher import journal
from stages.lib.teacher.journal import Journal

SHARED = "shared"
TAKEN = "taken"  # the names of the segments that the journal has, a line each
NAME = re.compile(r"[0-9a-f]{64}\.log\.zst")
AT_ONCE = 1000  # records appended to the journal under one lock


@contextmanager
def opened(folder: Path) -> Iterator[Journal]:
    """The journal in `folder`, closed at the end."""
    book = Journal(folder)
    try:
        yield book
    finally:
        book.close()


def segments(folder: Path) -> list[Path]:
    """The sealed segments in `folder`/shared, by name."""
    return sorted(path for path in (folder / SHARED).glob("*") if NAME.fullmatch(path.name))


def take_in(book: Journal) -> int:
    """Import the segments' records that `book` lacks; returns their number.

    Each segment is read once. Raises `BadInput` for one that does not match the hash in its name.
    """
    folder = book.path.parent
    if not (found := segments(folder)):
        return 0
    with (folder / TAKEN).open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        taken = set(stream.read().split())
        count = 0
        for path in found:
            if path.name not in taken:
                count += _take_in_one(book, path)
                stream.write(path.name + "\n")
                stream.flush()
    return count


def seal(book: Journal) -> int:
    """Write a segment of the records of `book` that no segment has; returns their number."""
    folder = book.path.parent
    known = {bytes.fromhex(record["key"]) for path in segments(folder) for record in read(path)}
    places = {key: place for key, place in book.places() if bytes.fromhex(key) not in known}
    if not places:
        return 0
    (folder / SHARED).mkdir(exist_ok=True)
    write(folder / SHARED, (journal.to_line(book.at(places[key])) for key in sorted(places)))
    return len(places)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a segment. Raises `BadInput` if it does not match the hash in its name."""
    import pyarrow as pa

    _check(path)
    with pa.input_stream(str(path), compression="zstd") as stream:
        rest = b""
        while block := stream.read(journal.READ):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                record = journal.parse(line)
                if record is None:
                    raise BadInput(f"{path}: a record was already damaged when it was sealed; remove the segment")
                yield record


def _take_in_one(book: Journal, path: Path) -> int:
    count, some = 0, []
    for record in read(path):
        if not book.has(record["key"]):
            some.append(record)
            count += 1
        if len(some) == AT_ONCE:
            book.append(some)
            some = []
    if some:
        book.append(some)
    return count


def write(folder: Path, lines: Iterable[bytes]) -> None:
    """Write a segment of `lines` atomically."""
    import pyarrow as pa

    part = folder / f".{uuid.uuid4().hex}.part"
    with pa.output_stream(str(part), compression="zstd") as packed:
        for line in lines:
            packed.write(line)
    with part.open("r+b") as stream:
        os.fsync(stream.fileno())
    part.replace(folder / f"{hash_segment(part)}.log.zst")


def _check(path: Path) -> None:
    if hash_segment(path) != path.name.partition(".")[0]:
        raise BadInput(f"{path} does not match the hash in its name; remove it, then restore it with `dvc pull`")


def hash_segment(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
