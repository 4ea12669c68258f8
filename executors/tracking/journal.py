"""Carries the journal's shared segments (stages/lib/teacher/sharing.py): through DVC, and between pods.

    make journal-share     seals new answers, tracks them with DVC, pushes them; then commit journal/shared.dvc
    dvc pull               downloads what others sealed; the next run imports it into its journal

If two people share at the same time, journal/shared.dvc conflicts: take either side and share again. Pods cannot
commit, so `bring` and `publish` exchange segments through the folder `journal` of DVC's default remote, and `make
journal-share` collects what they left there.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.lib.errors import BadInput
from stages.lib.teacher import sharing
from stages.lib.teacher.journal import FOLDER

TRACKED = "shared.dvc"


def share(folder: Path = FOLDER) -> str:
    """Collect what others shared, seal new answers, track all of it with DVC and push it. Returns a summary.

    Raises `BadInput` if DVC cannot fetch what journal/shared.dvc records, since sealing would leave it out.
    """
    with _repository() as repo:
        remote = _has_remote(repo)
        _restore(folder, repo)
        if remote:
            _download(folder, repo)
        with sharing.opened(folder) as book:
            sharing.take_in(book)
            new = sharing.seal(book)
        if not sharing.segments(folder):
            raise BadInput(f"{folder} contains no answers to share")
        repo.add([str(folder / sharing.SHARED)])
        if remote:
            with repo.lock:
                repo.drop_data_index()  # a killed push leaves it incomplete, see executors/tracking/transfer.py
            repo.push(targets=[str(folder / TRACKED)])
    said = f"{new} new responses sealed" if new else "nothing new"
    pushed = "pushed" if remote else "no remote to push to (make remote URL=…)"
    count = len(sharing.segments(folder))
    return f"{folder / sharing.SHARED}: {said}, {count} segments, {pushed}; commit {folder / TRACKED}"


def bring(folder: Path = FOLDER) -> str:
    """Import what is shared: what journal/shared.dvc of this commit records, and what pods left on the remote."""
    with _repository() as repo:
        _restore(folder, repo)
        fetched = _download(folder, repo) if _has_remote(repo) else 0
    with sharing.opened(folder) as book:
        took = sharing.take_in(book)
    return f"{folder}: {fetched} segments fetched, {took} new responses"


def publish(folder: Path = FOLDER) -> str:
    """Seal new answers and upload them, for whoever calls `bring` or `share`; safe to run again after a kill."""
    with sharing.opened(folder) as book:
        sharing.take_in(book)
        new = sharing.seal(book)
    with _repository() as repo:
        return f"{folder}: {new} new responses, {_upload(folder, repo)} segments published"


def _restore(folder: Path, repo: Any) -> None:
    """Fetch the segments that journal/shared.dvc of this commit records. Others may be removed: the journal has
    imported them, or a killed run left them."""
    tracked = folder / TRACKED
    if not tracked.exists():
        return
    if "<<<<<<<" in tracked.read_text():
        raise BadInput(f"{tracked} has a merge conflict; `git checkout --theirs {tracked}`, then `make journal-share`")
    with sharing.opened(folder) as book:
        sharing.take_in(book)
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
        raise BadInput(f"DVC failed on the shared journal: {type(error).__name__}: {error}") from None


def _download(folder: Path, repo: Any) -> int:
    """Fetch the segments of the remote's folder that are missing here; returns their number."""
    fs, there = _at_remote(repo)
    missing = _names(fs, there) - {path.name for path in sharing.segments(folder)} - _taken(folder)
    (folder / sharing.SHARED).mkdir(parents=True, exist_ok=True)
    for name in sorted(missing):
        part = folder / sharing.SHARED / f".{uuid.uuid4().hex}.part"
        fs.get_file(fs.join(there, name), str(part))
        if sharing.hash_segment(part) != name.partition(".")[0]:
            part.unlink()
            raise BadInput(f"{fs.join(there, name)} on the remote does not match the hash in its name; remove it there")
        part.replace(folder / sharing.SHARED / name)
    return len(missing)


def _upload(folder: Path, repo: Any) -> int:
    """Upload the segments missing from the remote's folder; returns their number."""
    fs, there = _at_remote(repo)
    fs.makedirs(there, exist_ok=True)
    known = _names(fs, there)
    missing = [path for path in sharing.segments(folder) if path.name not in known]
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
    return {name for name in names if sharing.NAME.fullmatch(name)}


def _taken(folder: Path) -> set[str]:
    path = folder / sharing.TAKEN
    return set(path.read_text().split()) if path.exists() else set()
