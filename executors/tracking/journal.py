"""Carries the journal's shared segments (stages/lib/teacher/sharing.py): through DVC, and between pods.

    make journal-share     seals what is new, tracks it with DVC, pushes it; then commit journal/shared.dvc
    dvc pull               brings what others sealed; the next run takes it into its journal by itself

Two people who share at the same time meet in journal/shared.dvc: take either side and share again. Pods have nobody to
commit for them: `bring` and `publish` exchange segments through the folder `journal` of DVC's default remote itself,
and `make journal-share` collects what they left there.
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
    """Collect what others shared, seal what is new, track all of it with DVC and push it; what was done.

    Raises `BadInput` where DVC cannot bring what journal/shared.dvc records: sealing without it would leave it out.
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
            raise BadInput(f"{folder} holds no answers to share")
        repo.add([str(folder / sharing.SHARED)])
        if remote:
            with repo.lock:
                repo.drop_data_index()  # a killed push leaves half of it: executors/tracking/transfer.py
            repo.push(targets=[str(folder / TRACKED)])
    said = f"{new} new responses sealed" if new else "nothing new"
    pushed = "pushed" if remote else "no remote to push to (make remote URL=…)"
    count = len(sharing.segments(folder))
    return f"{folder / sharing.SHARED}: {said}, {count} segments, {pushed}; commit {folder / TRACKED}"


def bring(folder: Path = FOLDER) -> str:
    """Take in what is shared: what journal/shared.dvc of this commit records, and what pods left at the remote."""
    with _repository() as repo:
        _restore(folder, repo)
        fetched = _download(folder, repo) if _has_remote(repo) else 0
    with sharing.opened(folder) as book:
        took = sharing.take_in(book)
    return f"{folder}: {fetched} segments fetched, {took} new responses"


def publish(folder: Path = FOLDER) -> str:
    """Seal what is new and put it at the remote, for whoever calls `bring` or `share`; killed, it may run again."""
    with sharing.opened(folder) as book:
        sharing.take_in(book)
        new = sharing.seal(book)
    with _repository() as repo:
        return f"{folder}: {new} new responses, {_upload(folder, repo)} segments published"


def _restore(folder: Path, repo: Any) -> None:
    """Bring the segments that journal/shared.dvc of this commit records. Others may go: the journal has taken them
    in, or they were left over from a killed run."""
    tracked = folder / TRACKED
    if not tracked.exists():
        return
    if "<<<<<<<" in tracked.read_text():
        raise BadInput(f"{tracked} has a merge conflict; `git checkout --theirs {tracked}`, then make journal-share")
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
        raise BadInput(f"the shared journal, at DVC: {type(error).__name__}: {error}") from None


def _download(folder: Path, repo: Any) -> int:
    """Fetch the segments of the remote's folder that are not here; how many."""
    fs, there = _at_remote(repo)
    missing = _names(fs, there) - {path.name for path in sharing.segments(folder)} - _taken(folder)
    (folder / sharing.SHARED).mkdir(parents=True, exist_ok=True)
    for name in sorted(missing):
        part = folder / sharing.SHARED / f".{uuid.uuid4().hex}.part"
        fs.get_file(fs.join(there, name), str(part))
        if sharing.hash_segment(part) != name.partition(".")[0]:
            part.unlink()
            raise BadInput(f"{fs.join(there, name)} at the remote is not what its name says; remove it there")
        part.replace(folder / sharing.SHARED / name)
    return len(missing)


def _upload(folder: Path, repo: Any) -> int:
    """Put the segments that the remote's folder has not; how many."""
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
