"""A download's progress: a bar on a terminal, an occasional log line elsewhere."""

import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from stages.lib import checkpoint

EVERY = 0.1  # of the whole, a line

log = logging.getLogger(__name__)


class Progress:
    """The progress of `part`, a growing file that will have `total` bytes, as a context."""

    def __init__(self, title: str, total: int, part: Path) -> None:
        self._title = title
        self._total = total
        self._part = part
        self._said = 0.0
        self._bar = _bar() if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        have = self._have(None)
        self._said = have / self._total
        log.info("fetching %s, %s%s", self._title, size(self._total), f"; {size(have)} are here" if have else "")
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total, completed=have)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, work: Path | None = None) -> None:
        """Show what is here, with the wheel that is being downloaded into `work`. Raises `Preempted` on SIGTERM."""
        checkpoint.raise_if_stop_requested()
        have = self._have(work)
        if self._bar:
            self._bar.update(self._task, completed=have)
        elif have >= (self._said + EVERY) * self._total:
            self._said = have / self._total
            log.info("%s: %.0f%% of %s", self._title, 100 * self._said, size(self._total))

    def _have(self, work: Path | None) -> int:
        sizes = [0]
        with suppress(FileNotFoundError):  # pip moves what it has
            sizes += [file.stat().st_size for file in work.rglob("*.whl")] if work else []
        part = self._part.stat().st_size if self._part.exists() else 0
        return min(part + max(sizes), self._total)


def size(count: int) -> str:
    """A number of bytes, human-readable."""
    for unit, bytes_of in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= bytes_of:
            return f"{count / bytes_of:.3g} {unit}"
    return f"{count} bytes"


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
