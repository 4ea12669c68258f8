"""The journal of every model answer: append-only, crash-safe, shared by processes.

`journal/exchanges.log` has one line per response: eight hex digits of CRC-32, a space, canonical JSON. Appends take an
exclusive `flock`, and its holder first cuts off what a killed writer left of a line. A response is written as soon as
it arrives, so that no kill can lose it, and counts once it is synced to disk, so that no power cut can; responses that
arrive during a sync share the next one (group commit). Failures are never written.

`journal/claims` is empty: before asking, a process locks one byte of it, at an offset given by the request's key.
Another process that wants the same answer waits for it in the journal instead of paying again; the kernel drops a dead
process's claims.
"""

import asyncio
import fcntl
import logging
import os
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from stages.lib.artifacts import canonical
from stages.lib.errors import BadInput
from stages.lib.teacher.exchange import Reply, Request
from stages.lib.teacher.index import Index

FOLDER = Path("journal")
GUESS = 4096  # bytes most records fit in
READ = 1 << 20  # bytes read at a time

log = logging.getLogger(__name__)


class Claimed(Exception):
    """Another process is asking this very request."""


class Journal:
    """The journal in `folder`, created if missing. One object per process; its methods are thread-safe."""

    def __init__(self, folder: Path = FOLDER) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "exchanges.log"
        self._claims = os.open(folder / "claims", os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(self._claims, fcntl.LOCK_SH)  # keeps others from compacting it
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.Lock()
        self._end = 0  # everything before this offset is indexed
        self._index = Index()
        self._spent: Counter[str] = Counter()  # US dollars by label
        self._unsynced: list[asyncio.Future[None]] = []
        self._committer: asyncio.Task[None] | None = None
        self.refresh()

    def close(self) -> None:
        """Close the files, and with them give up every claim."""
        os.close(self._file)
        os.close(self._claims)

    def __len__(self) -> int:
        return len(self._index)

    def has(self, key: str) -> bool:
        """Whether the request with this key has a reply."""
        return self._index.get(key) is not None

    def spent(self, label: str) -> float:
        """US dollars of all responses journaled under `label`, at the prices of their time."""
        return self._spent[label]

    def get(self, request: Request) -> Reply | None:
        """The reply to `request`, if some process journaled it and this one has read that far."""
        offset = self._index.get(request.key)
        if offset is None:
            return None
        record = self.at(offset)
        if record["key"] != request.key:
            return None
        return _reply(record)

    def _line_at(self, offset: int) -> bytes:
        line, size = b"", GUESS
        while b"\n" not in line and len(line) < size:
            size *= 4
            line = os.pread(self._file, size, offset)
        return line.partition(b"\n")[0]

    async def put(self, request: Request, reply: Reply, label: str, cost: float) -> None:
        """Return once the reply is on disk. Raises `OSError` if it cannot be written."""
        await self.put_reply(request.key, request.body["model"], reply, label, cost)

    async def put_reply(self, key: str, model: str, reply: Reply, label: str, cost: float) -> None:
        """Like `put`, when only the request's key and model are known."""
        record = {
            "key": key,
            "model": model,
            "label": label,
            "cost": cost,
            "response": reply.text,
            "finish": reply.finish,
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
        }
        if reply.reasoning or reply.reasoning_tokens:
            record |= {"reasoning": reply.reasoning, "reasoning_tokens": reply.reasoning_tokens}
        self._append([record])
        synced = asyncio.get_running_loop().create_future()
        self._unsynced.append(synced)
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit())
        await synced

    @contextmanager
    def claim(self, request: Request) -> Iterator[None]:
        """Hold the exclusive right, among all processes on this journal, to ask `request`.

        Once granted, the index has everything written before. Raises `Claimed` at once if another process holds it; its
        answer will be in the journal a little later. Hold claims only while a request is in flight: the kernel searches
        them one by one.
        """
        with self.claim_key(request.key):
            self.refresh()
            yield

    @contextmanager
    def claim_key(self, key: str) -> Iterator[None]:
        """Hold `key` (hex) exclusively among all processes on this journal. Raises `Claimed` if another holds it."""
        offset = int(key[:15], 16)
        try:
            fcntl.lockf(self._claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except (BlockingIOError, PermissionError):
            raise Claimed from None
        try:
            yield
        finally:
            fcntl.lockf(self._claims, fcntl.LOCK_UN, 1, offset)

    def refresh(self) -> None:
        """Index what other processes appended; cut off what a killed one left of a line."""
        with self._lock:
            if os.fstat(self._file).st_size == self._end:
                return
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                self._read_on()
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def places(self) -> Iterator[tuple[str, int]]:
        """The key and offset of each whole record, in the order they were written."""
        with self.path.open("rb", buffering=READ) as stream:
            offset = 0
            for line in stream:
                if (record := parse(line)) is not None:
                    yield record["key"], offset
                offset += len(line)

    def at(self, offset: int) -> dict[str, Any]:
        """The record at `offset`."""
        record = parse(self._line_at(offset))
        if record is None:
            raise OSError(f"{self.path} changed at byte {offset} while it was read")
        return record

    def append(self, records: list[dict[str, Any]]) -> None:
        """Write `records` under one lock and return once they are on disk."""
        self._append(records)
        os.fsync(self._file)

    async def _commit(self) -> None:
        while self._unsynced:
            waiting, self._unsynced = self._unsynced, []
            try:
                await asyncio.to_thread(os.fsync, self._file)
            except OSError as error:
                for synced in waiting:
                    if not synced.done():
                        synced.set_exception(error)
                continue
            for synced in waiting:
                if not synced.done():
                    synced.set_result(None)
        self._committer = None

    def _append(self, records: list[dict[str, Any]]) -> None:
        lines = [to_line(record) for record in records]
        with self._lock:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                self._read_on()
                self._write(b"".join(lines))
                for record, line in zip(records, lines, strict=True):
                    self._note(record, len(line))
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _write(self, lines: bytes) -> None:
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            os.ftruncate(self._file, self._end)
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _read_on(self) -> None:
        """Index the lines after `_end`. The caller holds both locks, so no line is being written."""
        size = os.fstat(self._file).st_size
        if size == self._end:
            return
        with os.fdopen(os.dup(self._file), "rb", buffering=READ) as stream:
            stream.seek(self._end)
            for line in stream:
                if not line.endswith(b"\n"):
                    log.warning(
                        "%s ends in a record cut after %d bytes; cut back to the last whole one, at byte %d",
                        *(self.path, len(line), self._end),
                    )
                    os.ftruncate(self._file, self._end)
                    return
                self._take_in(line)

    def _take_in(self, line: bytes) -> None:
        record = parse(line)
        if record is None:
            log.warning("%s: the record at byte %d is damaged; its request will be asked again", self.path, self._end)
            self._end += len(line)
            return
        self._note(record, len(line))

    def _note(self, record: dict[str, Any], length: int) -> None:
        self._index[record["key"]] = self._end
        self._spent[record["label"]] += record["cost"]
        self._end += length


def records(path: Path) -> Iterator[dict[str, Any] | None]:
    """Each record of the journal file `path` in turn, None for a damaged or unfinished one."""
    with path.open("rb", buffering=READ) as stream:
        for line in stream:
            yield parse(line)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock the journal in `folder` exclusively. Raises `BadInput` if another process has it open."""
    with (folder / "claims").open("a+b") as claims:
        try:
            fcntl.flock(claims, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"{folder} is in use; wait until no stage that asks a teacher is running") from None
        yield


def _reply(record: dict[str, Any]) -> Reply:
    return Reply(
        record["response"],
        record["finish"],
        record["prompt_tokens"],
        record["completion_tokens"],
        record.get("reasoning", ""),  # of a model that reasons
        record.get("reasoning_tokens", 0),
    )


def to_line(record: dict[str, Any]) -> bytes:
    """`record` as a line of the journal."""
    body = canonical(record).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def parse(line: bytes) -> dict[str, Any] | None:
    """The record in `line`, or None if it is damaged."""
    check, _, body = line.rstrip(b"\n").partition(b" ")
    if check != b"%08x" % zlib.crc32(body):
        return None
    return dict(orjson.loads(body))
