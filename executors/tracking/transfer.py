"""`make push` and `make pull`: DVC's, made safe against what a killed one left behind.

DVC 3.67 keeps lists of what to push and pull (`index/data` in its site cache), and sqltrie's `executescript` commits
them piece by piece. After a kill, DVC takes a piece for the whole: `dvc push` skips objects, uploads a folder's listing
without its files, and ends with status 0; every later push finds the listing and believes that the files are there. So:
- the lists are dropped first;
- before and after a push, the remote is asked for every object and its length (DVC asks only for the name, and would
  accept half a file);
- what is sent is hashed first, because DVC sends whatever its cache holds;
- the run cache goes last (DVC sends it first), so that a kill in between never announces objects that are not there.
"""

import argparse
import sys
from collections.abc import Collection, Iterable
from contextlib import closing
from typing import Any

from stages.lib.errors import BadInput

NAMED = 10  # at most this many objects in a message


def main(arguments: list[str]) -> int:
    """Push or pull, and return the exit status."""
    from dvc.exceptions import DvcException

    parser = argparse.ArgumentParser(prog="transfer", description="dvc push and dvc pull, checked")
    parser.add_argument("command", choices=["push", "pull"])
    parser.add_argument("targets", nargs="*", help="stages or outputs (default: all)")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--run-cache", action="store_true", help="push DVC's run cache too")
    options = parser.parse_intermixed_args(arguments)
    command = [options.command, *(["--quiet"] if options.quiet else []), *options.targets]
    try:
        with _repo() as repo, repo.lock:
            repo.drop_data_index()
        if options.command == "pull":
            return _dvc([*command, "--run-cache"] if options.run_cache else command)
        status = push(command, options.targets)
        if options.run_cache and not status:
            push_runs()
        return status
    except BadInput as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 3
    except DvcException as error:  # busy, or not a DVC repository
        print(f"{options.command}: {error}", file=sys.stderr)
        return 1


def push(command: list[str], targets: list[str]) -> int:
    """`dvc push` what the remote lacks and check that it arrived. Returns DVC's status.

    Raises `BadInput` if an object to be sent is damaged here, or one is not in the remote afterwards.
    """
    with _repo() as repo, repo.lock:
        wanted, remote = used(repo, targets), repo.cloud.get_remote_odb()
        sizes = _sizes(remote, wanted)
        missing = lacking(repo, wanted, sizes)
        _refuse_damaged(repo, missing)
        for oid in missing.keys() & sizes.keys():
            print(f"{oid} of {missing[oid]} is incomplete in the remote; sending it again", file=sys.stderr)
            remote.fs.remove(remote.oid_to_path(oid))
        if missing and unlist(repo, remote, missing):
            print("the remote has folder listings without all of their files; sending those", file=sys.stderr)
    if status := _dvc(command):
        return status
    if missing and (missing := absent(targets)):
        named = "\n  ".join(f"{oid} of {name}" for oid, name in list(missing.items())[:NAMED])
        raise BadInput(
            f"{len(missing)} objects are still not in the remote; run `dvc repro` for those not in the cache either, "
            f"then `make push`:\n  {named}"
        )
    return 0


def push_runs() -> None:
    """Push the run cache and check that it arrived: DVC reports what did not, but ends with status 0.

    Raises `DvcException` for what is not in the remote afterwards. A remote that takes none (HTTP) is skipped.
    """
    from dvc.exceptions import DvcException
    from dvc.stage.cache import RunCacheNotSupported

    with _repo() as repo, repo.lock:
        remote, cache = repo.cloud.get_remote_odb(None, hash_name="md5-dos2unix"), repo.cache.legacy
        try:
            entries = [("runs", key[:2], key, value) for key, value in repo.stage_cache.push(None, remote)]
        except RunCacheNotSupported as error:
            print(f"push: {error}", file=sys.stderr)
            return
        sent = {cache.fs.join(cache.path, *entry): remote.fs.join(remote.path, *entry) for entry in entries}
        here, there = _lengths(cache, sent.keys()), _lengths(remote, sent.values())
    if lost := [target for source, target in sent.items() if there.get(target) != here.get(source)]:
        raise DvcException(f"{len(lost)} of {len(sent)} run cache entries are still not in the remote")


def absent(targets: Iterable[str] = ()) -> dict[str, str]:
    """The objects of dvc.lock (or only of `targets`) that the remote lacks, and each one's output."""
    with _repo() as repo:
        wanted = used(repo, targets)
        return lacking(repo, wanted, _sizes(repo.cloud.get_remote_odb(), wanted))


def nowhere(targets: Iterable[str]) -> set[str]:
    """The outputs among `targets` whose object is neither in the cache nor in the remote."""
    with _repo() as repo:
        outs = {
            repo.fs.relpath(out.fs_path): out.hash_info.value
            for out in repo.index.targets_view(list(targets)).outs
            if out.hash_info and out.use_cache
        }
        found = _sizes(repo.cache.local, set(outs.values()))
        if elsewhere := set(outs.values()) - found.keys():
            found |= _sizes(repo.cloud.get_remote_odb(), elsewhere)
    return {path for path, oid in outs.items() if oid not in found}


def lacking(repo: Any, wanted: dict[str, str], sizes: dict[str, int]) -> dict[str, str]:
    """Those of `wanted` that are missing from the remote's `sizes`, or shorter there than in the cache."""
    here = _sizes(repo.cache.local, sizes)
    return {oid: name for oid, name in wanted.items() if oid not in sizes or here.get(oid, sizes[oid]) != sizes[oid]}


def used(repo: Any, targets: Iterable[str] = ()) -> dict[str, str]:
    """Every object of the outputs in dvc.lock (or only of `targets`), and the output's name. For a folder whose listing
    is not in the cache, only the listing."""
    found: dict[str, str] = {}
    for out in sorted(repo.index.targets_view(list(targets) or None).outs, key=lambda out: str(out.fs_path)):
        if not (out.hash_info and out.use_cache):
            continue
        name = repo.fs.relpath(out.fs_path)
        found[out.hash_info.value] = name
        if out.hash_info.isdir and (listed := out.get_obj()):
            found.update({entry.value: name for _, _, entry in listed})
    return found


def unlist(repo: Any, remote: Any, oids: Collection[str]) -> list[str]:
    """Remove DVC's index of the remote, and from the remote the folder listings that contain one of `oids`, so that
    `dvc push` checks these folders' files again. Returns the removed listings."""
    from dvc_data.hashfile.db import get_index

    folders = [out for out in repo.index.outs if out.hash_info and out.hash_info.isdir]
    holding = {
        out.hash_info.value for out in folders if any(entry.value in oids for _, _, entry in out.get_obj() or ())
    }
    removed = [listing for listing in sorted(holding) if remote.fs.exists(remote.oid_to_path(listing))]
    for listing in removed:
        remote.fs.remove(remote.oid_to_path(listing))
    with closing(get_index(remote)) as index:
        index.clear()
    return removed


def hash_object(odb: Any, oid: str) -> str:
    """The MD5 of what is stored as `oid`."""
    from dvc_data.hashfile.hash import hash_file

    return str(hash_file(odb.oid_to_path(oid), odb.fs, "md5")[1].value)


def _sizes(odb: Any, oids: Iterable[str]) -> dict[str, int]:
    """The size in bytes of each of `oids` that exists."""
    paths = {oid: odb.oid_to_path(oid) for oid in oids}
    found = _lengths(odb, paths.values())
    return {oid: found[path] for oid, path in paths.items() if path in found}


def _lengths(odb: Any, paths: Iterable[str]) -> dict[str, int]:
    """The size in bytes of each of `paths` that exists, one request each. Raises `DvcException` if there is no
    answer."""
    from dvc.exceptions import DvcException

    paths = list(paths)
    found = odb.fs.info(paths, return_exceptions=True) if paths else []
    for answer in found:
        if isinstance(answer, Exception) and not isinstance(answer, FileNotFoundError | NotADirectoryError):
            raise DvcException(f"{odb.path} does not answer ({type(answer).__name__}: {answer})") from answer
    return {path: answer["size"] for path, answer in zip(paths, found, strict=True) if isinstance(answer, dict)}


def _refuse_damaged(repo: Any, oids: Iterable[str]) -> None:
    cache = repo.cache.local
    for oid in sorted(_sizes(cache, oids)):
        if (found := hash_object(cache, oid)) != oid.removesuffix(".dir"):
            raise BadInput(
                f"cache object {cache.oid_to_path(oid)} has the hash {found}, not {oid}, and is not sent; `make forget "
                f"OBJECT={oid}` removes it, then `dvc commit` in a workspace that verifies, or `dvc repro`, restores it"
            )


def _dvc(words: list[str]) -> int:
    from dvc.cli import main as dvc

    return int(dvc(words))


def _repo() -> Any:
    from dvc.repo import Repo

    return Repo()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
