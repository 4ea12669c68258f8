"""Progress that outlives a killed stage: keyed saves outside the stage's outputs.

A stage keeps its progress in `.tidemill/checkpoints/STAGE/KEY/`. KEY hashes the inputs' root hashes, the parameters and
the seed, so that a change of any of them never picks up an old save. A save is a folder that becomes valid when its
`checkpoint.json` (the hash of every file in it) is renamed into place. A save with a changed byte is refused by name,
and the one before it is used.
"""

import logging
import os
import shutil
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from stages.lib import artifacts

ROOT = Path(".tidemill/checkpoints")
SEAL = "checkpoint.json"

log = logging.getLogger(__name__)
_stop_requested = False


class Preempted(Exception):
    """The stage was asked to stop and has saved its progress: exit status 75, retried at no cost."""


def stop_on_sigterm() -> None:
    """Make the first SIGTERM ask the stage to save and stop, and the second one stop it at once."""

    def handle(_signum: int, _frame: FrameType | None) -> None:
        global _stop_requested
        if _stop_requested:
            raise Preempted("stopped at once by a second SIGTERM; the last save is kept")
        _stop_requested = True
        log.warning("SIGTERM: saving progress, then stopping")

    signal.signal(signal.SIGTERM, handle)


def stop_requested() -> bool:
    """Whether a SIGTERM has arrived; long loops ask this after each save."""
    return _stop_requested


def raise_if_stop_requested() -> None:
    """Raise `Preempted` if a SIGTERM has arrived; call it when all progress is saved."""
    if _stop_requested:
        raise Preempted("stopped by SIGTERM; run it again to resume from the last save")


def folder(stage: str, inputs: Iterable[artifacts.Artifact], params: dict[str, Any], seed: int | None = None) -> Path:
    """The folder for saves of `stage` with exactly these inputs, parameters and seed; created if missing."""
    key = artifacts.digest({"inputs": [artifact.reference for artifact in inputs], "params": params, "seed": seed})
    path = ROOT / stage / key[:16]
    path.mkdir(parents=True, exist_ok=True)
    return path


def seal(save: Path) -> None:
    """Validate the folder `save`: hash its files and rename `checkpoint.json` into place."""
    artifacts.write_json(save / SEAL, {"files": artifacts.list_files(save, skip=SEAL)})


@contextmanager
def made(save: Path) -> Iterator[Path]:
    """A folder to fill that becomes the sealed `save` when the block ends without an error: there is never half of it,
    however many processes make the same one."""
    temporary = save.with_name(f".{save.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    shutil.rmtree(save, ignore_errors=True)
    temporary.rename(save)
    seal(save)


def code(*places: Path) -> dict[str, str]:
    """The hashes of source files, and of all those in folders: of a save that no other code should take up."""
    found = [file for place in places for file in (place.iterdir() if place.is_dir() else [place]) if file.is_file()]
    return {file.name: artifacts.hash_file(file) for file in sorted(found)}


def is_valid(save: Path) -> bool:
    """Whether `save` is sealed and unchanged; logs the file that is not."""
    if not (save / SEAL).is_file():
        return False
    try:
        recorded = artifacts.read_json(save / SEAL)["files"]
        artifacts.compare_files(save, recorded, skip=SEAL)
    except (artifacts.Damaged, KeyError, ValueError) as error:
        log.warning("refusing checkpoint %s: %s", save, error)
        return False
    return True


def newest(where: Path, pattern: str = "*") -> Path | None:
    """The newest valid save in `where`, by the number that ends its name (`checkpoint-12`)."""
    saves = [path for path in where.glob(pattern) if path.is_dir() and _number(path) is not None]
    ordered = sorted(saves, key=lambda path: _number(path) or 0, reverse=True)
    return next((save for save in ordered if is_valid(save)), None)


def discard(where: Path) -> None:
    """Remove the saves of a stage whose output is sealed."""
    shutil.rmtree(where, ignore_errors=True)


def _number(path: Path) -> int | None:
    tail = path.name.rpartition("-")[2]
    return int(tail) if tail.isdigit() else None
