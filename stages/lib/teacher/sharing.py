"""The journal shared: what one paid for, others replay for nothing.

    make journal-share          seals what is new, tracks it with DVC, pushes it; then commit journal/shared.dvc
    dvc pull                    brings what others sealed; the next run takes it into its journal by itself

`journal/shared` holds segments, sealed and never changed: records of the journal in the order of their keys,
compressed, each named by the sha256 of its bytes. Only segments are tracked, never the journal that a run writes,
so that no checkout can lose an answer; what is shared is a union, and a record that is known by its request's hash
is taken in once. Two who share at the same time meet in journal/shared.dvc: take either side and share again.

Pods have nobody to commit for them: `bring` and `publish` exchange segments through the folder `journal` of DVC's
default remote itself, and `make journal-share` collects what they left there.
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
from stages.lib.teacher.journal import FOLDER, Journal

SHARED = "shared"
TRACKED = "shared.dvc"
TAKEN = "taken"  # the names of the segments that the journal has, a line each
NAME = re.compile(r"[0-9a-f]{64}\.log\.zst")
AT_ONCE = 1000  # records appended to the journal under one lock


def share(folder: Path = FOLDER) -> str:
    """Collect what others shared, seal what is new, track all of it with DVC and push it; what was done.

    Raises `BadInput` where DVC cannot bring what journal/shared.dvc records: sealing without it would leave it out.
    """
    with _repository() as repo:
        remote = _has_remote(repo)
        _restore(folder, repo)
        if remote:
            _download(folder, repo)
        with opened(folder) as book:
            take_in(book)
            new = seal(book)
        if not segments(folder):
            raise BadInput(f"{folder} holds no answers to share")
        repo.add([str(folder / SHARED)])
        if remote:
            with repo.lock:
                repo.drop_data_index()  # a killed push leaves half of it: stages/lib/transfer.py
            repo.push(targets=[str(folder / TRACKED)])
    said = f"{new} new responses sealed" if new else "nothing new"
    pushed = "pushed" if remote else "no remote to push to (make remote URL=…)"
    return f"{folder / SHARED}: {said}, {len(segments(folder))} segments, {pushed}; commit {folder / TRACKED}"


def bring(folder: Path = FOLDER) -> str:
    """Take in what is shared: what journal/shared.dvc of this commit records, and what pods left at the remote."""
    with _repository() as repo:
        _restore(folder, repo)
        fetched = _download(folder, repo) if _has_remote(repo) else 0
    with opened(folder) as book:
        took = take_in(book)
    return f"{folder}: {fetched} segments fetched, {took} new responses"


def publish(folder: Path = FOLDER) -> str:
    """Seal what is new and put it at the remote, for whoever calls `bring` or `share`; killed, it may run again."""
    with opened(folder) as book:
        take_in(book)
        new = seal(book)
    with _repository() as repo:
        return f"{folder}: {new} new responses, {_upload(folder, repo)} segments published"


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
    """Add what the segments have and `book` has not; how many records that were.

    A segment is read once. Raises `BadInput` for one whose bytes are not what its name says.
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
    """Write a segment of the records of `book` that no segment has; how many those are."""
    folder = book.path.parent
    known = {bytes.fromhex(record["key"]) for path in segments(folder) for record in read(path)}
    places = {key: place for key, place in book.places() if bytes.fromhex(key) not in known}
    if not places:
        return 0
    (folder / SHARED).mkdir(exist_ok=True)
    _write(folder / SHARED, (journal.to_line(book.at(places[key])) for key in sorted(places)))
    return len(places)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a segment. Raises `BadInput` if it is not what its name says."""
    import pyarrow as pa

    _check(path)
    with pa.input_stream(str(path), compression="zstd") as stream:
        rest = b""
        while block := stream.read(journal.READ):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                record = journal.parse(line)
                if record is None:
                    raise BadInput(f"{path}: a record is damaged, and was when it was sealed; remove the segment")
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


def _write(folder: Path, lines: Iterable[bytes]) -> None:
    """A segment of `lines`, whole or not at all."""
    import pyarrow as pa

    part = folder / f".{uuid.uuid4().hex}.part"
    with pa.output_stream(str(part), compression="zstd") as packed:
        for line in lines:
            packed.write(line)
    with part.open("r+b") as stream:
        os.fsync(stream.fileno())
    part.replace(folder / f"{_hash(part)}.log.zst")


def _check(path: Path) -> None:
    if _hash(path) != path.name.partition(".")[0]:
        raise BadInput(f"{path} is not what its name says; remove it, and `dvc pull` or `dvc checkout` brings it again")


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _restore(folder: Path, repo: Any) -> None:
    """Bring the segments that journal/shared.dvc of this commit records. Others may go: the journal has taken them
    in, or they were left over from a killed run."""
    tracked = folder / TRACKED
    if not tracked.exists():
        return
    if "<<<<<<<" in tracked.read_text():
        raise BadInput(f"{tracked} has a merge conflict; `git checkout --theirs {tracked}`, then make journal-share")
    with opened(folder) as book:
        take_in(book)
    bring = repo.pull if _has_remote(repo) else repo.checkout
    bring(targets=[str(tracked)], force=True)


def _has_remote(repo: Any) -> bool:
    return bool(repo.config["core"].get("remote"))


@contextmanager
def _repository() -> Iterator[Any]:
    """This DVC repository, whose errors become `BadInput`."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            yield repo
    except (DvcException, OSError) as error:
        raise BadInput(f"the shared journal, at DVC: {type(error).__name__}: {error}") from None


def _download(folder: Path, repo: Any) -> int:
    """Fetch the segments of the remote's folder that are not here; how many."""
    fs, there = _at_remote(repo)
    missing = _names(fs, there) - {path.name for path in segments(folder)} - _taken(folder)
    (folder / SHARED).mkdir(parents=True, exist_ok=True)
    for name in sorted(missing):
        part = folder / SHARED / f".{uuid.uuid4().hex}.part"
        fs.get_file(fs.join(there, name), str(part))
        if _hash(part) != name.partition(".")[0]:
            part.unlink()
            raise BadInput(f"{fs.join(there, name)} at the remote is not what its name says; remove it there")
        part.replace(folder / SHARED / name)
    return len(missing)


def _upload(folder: Path, repo: Any) -> int:
    """Put the segments that the remote's folder has not; how many."""
    fs, there = _at_remote(repo)
    fs.makedirs(there, exist_ok=True)
    known = _names(fs, there)
    missing = [path for path in segments(folder) if path.name not in known]
    for path in missing:
        part = fs.join(there, f"{uuid.uuid4().hex}.part")
        fs.put_file(str(path), part)
        fs.move(part, fs.join(there, path.name))
    return len(missing)


def _at_remote(repo: Any) -> tuple[Any, str]:
    """The file system of DVC's default remote and the path of its folder `journal`."""
    remote = repo.cloud.get_remote()
    return remote.fs, remote.fs.join(remote.path, "journal")


def _names(fs: Any, there: str) -> set[str]:
    if not fs.exists(there):
        return set()
    names = (path.rpartition("/")[2] for path in fs.find(there))
    return {name for name in names if NAME.fullmatch(name)}


def _taken(folder: Path) -> set[str]:
    path = folder / TAKEN
    return set(path.read_text().split()) if path.exists() else set()
