"""Re-hashes outputs, cache and remote: DVC trusts modification times and never re-reads its cache, so a flipped bit
passes all of its commands."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from executors.tracking import transfer

OBJECT = re.compile(r"[0-9a-f]{32}(\.dir)?")  # DVC uploads under temporary names, which a kill leaves behind

Line = tuple[str, str | None]  # what was checked, and what is wrong with it


def check_outputs() -> Iterator[Line]:
    """Check every output that dvc.lock names and the workspace has."""
    from dvc_data.hashfile.build import build

    repo = _repo()
    for out in repo.index.outs:
        name = repo.fs.relpath(out.fs_path)
        if not out.hash_info or not out.exists:
            yield f"{name}  not in this workspace: get it with `dvc pull {name}` or `dvc repro`", None
            continue
        _, _, found = build(out.cache, out.fs_path, out.fs, "md5", dry_run=True, ignore=repo.dvcignore)
        same = found.hash_info.value == out.hash_info.value
        problem = (
            f"{name} differs from dvc.lock: {out.hash_info.value} there, {found.hash_info.value} here; "
            f"`rm -r {name} && dvc checkout {name}` restores it, `dvc commit {name}` keeps the change"
        )
        yield f"{name}  md5 {out.hash_info.value}", None if same else problem


def check_cache() -> Iterator[Line]:
    """Check every object of the DVC cache against its name, which is its hash."""
    cache = _repo().cache.local
    advice = "then `make pull`, `dvc commit` in a workspace that verifies, or `dvc repro` restores it"
    yield from _check_objects(cache, "cache", advice, cache.all())


def check_remote(outs: Mapping[str, str] | None = None) -> Iterator[Line]:
    """Check that no object is missing from the default remote and that each matches its name, which is its hash; or
    only the objects of `outs` (hashes by path, as in dvc.lock), folders' files included."""
    repo = _repo()
    if not repo.config["core"].get("remote"):
        yield "remote", "no default remote; set one with `make remote URL=s3://bucket/path`"
        return
    odb = repo.cloud.get_remote_odb()
    wanted = transfer.used(repo) if outs is None else _listed(odb, outs)
    present = set(odb.all())
    held = present if outs is None else present & wanted.keys()
    yield from _check_objects(odb, "remote", "then `make push` from a workspace that verifies", held)
    for oid, name in wanted.items():
        if oid not in present:
            yield (
                name,
                f"{name}: object {oid} is not in the remote; run `make push` where the cache has it",
            )


def forget(oid: str) -> None:
    """Remove object `oid` from the cache and the default remote if its bytes do not match its name.

    On the remote, the folder listings that name it and DVC's index go too: as long as a folder's listing is there, DVC
    believes its files are there and never pushes them again.
    """
    repo = _repo()
    remote = repo.cloud.get_remote_odb() if repo.config["core"].get("remote") else None
    for where, odb in {"cache": repo.cache.local, "remote": remote}.items():
        if odb is None:
            continue
        path = odb.oid_to_path(oid)
        if not odb.fs.exists(path):
            print(f"{where}: no object {oid}")
        elif (found := transfer.hash_object(odb, oid)) == oid.removesuffix(".dir"):
            print(f"{where}: object {oid} is intact and stays")
            continue
        else:
            odb.fs.remove(path)
            print(f"{where}: removed {path}, whose hash was {found}")
        for listing in transfer.unlist(repo, odb, {oid}) if odb is remote else []:
            print(f"{where}: removed the listing {listing}, so that a push checks its files again")


def _listed(odb: Any, outs: Mapping[str, str]) -> dict[str, str]:
    """Every object that `outs` consist of according to the listings in `odb`, with the output's name."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree
    from dvc_objects.errors import ObjectFormatError

    found = {oid: name for name, oid in outs.items()}
    for name, oid in outs.items():
        # A lost or damaged listing is reported itself: it is among the objects.
        with suppress(FileNotFoundError, ObjectFormatError):
            if oid.endswith(".dir"):
                found.update({entry.value: name for _, _, entry in Tree.load(odb, HashInfo("md5", oid))})
    return found


def _check_objects(odb: Any, where: str, advice: str, oids: Iterable[str]) -> Iterator[Line]:
    for oid in sorted(oids):
        path = odb.oid_to_path(oid)
        if not OBJECT.fullmatch(oid):
            forget = f"nothing reads it, and `make forget OBJECT={oid}` removes it"
            yield f"{where} {path} is an upload, in progress or left by a kill; {forget}", None
            continue
        try:
            found = transfer.hash_object(odb, oid)
        except Exception as error:  # each kind of store has its own errors
            yield f"{where} {oid}", f"{where} object {path} cannot be read: {type(error).__name__}: {error}"
            continue
        problem = f"{where} object {path} hashes to {found}, not {oid}; `make forget OBJECT={oid}` removes it, {advice}"
        yield f"{where} {oid}", None if found == oid.removesuffix(".dir") else problem


def _repo() -> Any:
    from dvc.repo import Repo

    return Repo()
