"""`make push` and `make pull`: DVC's, and what a killed one left can do no harm. `dvc push` alone does not look.

DVC 3.67 keeps lists of what there is to push and to pull (`index/data` in its site cache). It writes them piece by
piece, because sqltrie's `executescript` commits what is half done. Killed in between, it takes a piece for the whole
the next time: `dvc push` then leaves objects out, sends the listing of a folder without its files, and ends with
status 0; every later one finds the listing and believes that its files are there. So the lists are dropped first, and
before and after a push the remote is asked for every object and its length: DVC asks for the name alone, and would
believe half a file. What is to be sent is hashed, because DVC sends what its cache holds. What DVC knows of finished
runs is sent last (DVC would do it first): killed between the two, it tells nobody of objects that are not there.
"""

import argparse
import sys
from collections.abc import Collection, Iterable
from contextlib import closing
from typing import Any

from stages.lib.errors import BadInput

NAMED = 10  # objects in a message


def main(arguments: list[str]) -> int:
    """Push or pull, and return the exit status."""
    from dvc.exceptions import DvcException

    parser = argparse.ArgumentParser(prog="transfer", description="dvc push, dvc pull, and a look at what is there")
    parser.add_argument("command", choices=["push", "pull"])
    parser.add_argument("targets", nargs="*", help="stages or outputs; all of them if none is named")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--run-cache", action="store_true", help="what DVC knows of finished runs as well")
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
    except DvcException as error:  # it is busy, or this is none of its repositories
        print(f"{options.command}: {error}", file=sys.stderr)
        return 1


def push(command: list[str], targets: list[str]) -> int:
    """`dvc push` of what the remote lacks, and a look at whether it came. Returns DVC's status.

    Raises `BadInput` if an object that is to be sent is damaged here, and if one is not in the remote afterwards.
    """
    with _repo() as repo, repo.lock:
        wanted, remote = used(repo, targets), repo.cloud.get_remote_odb()
        sizes = _sizes(remote, wanted)
        missing = lacking(repo, wanted, sizes)
        _refuse_damaged(repo, missing)
        for oid in missing.keys() & sizes.keys():
            print(f"{oid} of {missing[oid]} is cut short in the remote; sending it again", file=sys.stderr)
            remote.fs.remove(remote.oid_to_path(oid))
        if missing and unlist(repo, remote, missing):
            print("the remote has listings of folders and not all of their files; sending these", file=sys.stderr)
    if status := _dvc(command):
        return status
    if missing and (missing := absent(targets)):
        named = "\n  ".join(f"{oid} of {name}" for oid, name in list(missing.items())[:NAMED])
        raise BadInput(
            f"{len(missing)} objects are not in the remote after that: what is not in the cache either `dvc repro` "
            f"makes, `make push` sends the others:\n  {named}"
        )
    return 0


def push_runs() -> None:
    """Send what DVC knows of finished runs, and look whether it came: DVC says what did not, and ends with status 0.

    Raises `DvcException` for what is not in the remote afterwards. A remote that takes none goes without (HTTP).
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
        raise DvcException(f"{len(lost)} of {len(sent)} entries of the run cache are not in the remote after that")


def absent(targets: Iterable[str] = ()) -> dict[str, str]:
    """The objects that the remote lacks of what dvc.lock names (or `targets` alone), and each one's output."""
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
    """What of `wanted` is not among the remote's `sizes`, or not as long there as in the cache."""
    here = _sizes(repo.cache.local, sizes)
    return {oid: name for oid, name in wanted.items() if oid not in sizes or here.get(oid, sizes[oid]) != sizes[oid]}


def used(repo: Any, targets: Iterable[str] = ()) -> dict[str, str]:
    """Every object that the outputs in dvc.lock (or `targets` alone) are made of, and the output's name. Of a folder
    whose listing is not in the cache, the listing alone."""
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
    """Remove from the remote the listings of folders of dvc.lock that hold one of `oids`, so that `dvc push` looks at
    these folders' files again, and DVC's index of the remote. Returns the listings that were there."""
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
    """The bytes of each of `oids` that is there."""
    paths = {oid: odb.oid_to_path(oid) for oid in oids}
    found = _lengths(odb, paths.values())
    return {oid: found[path] for oid, path in paths.items() if path in found}


def _lengths(odb: Any, paths: Iterable[str]) -> dict[str, int]:
    """The bytes of each of `paths` that is there, by one question each. Raises `DvcException` if it does not answer."""
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
                f"cache object {cache.oid_to_path(oid)} holds {found}, not {oid}, and is not sent; `make forget "
                f"OBJECT={oid}` removes it, then `dvc commit` takes it from a workspace that verifies, or `dvc repro` "
                "makes it"
            )


def _dvc(words: list[str]) -> int:
    from dvc.cli import main as dvc

    return int(dvc(words))


def _repo() -> Any:
    from dvc.repo import Repo

    return Repo()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
