"""`make push` and `make pull`: DVC's, and what a killed one left can do no harm. `dvc push` alone does not look.

DVC 3.67 keeps lists of what there is to push and to pull (`index/data` in its site cache). It writes them piece by
piece, because sqltrie's `executescript` commits what is half done. Killed in between, it takes a piece for the whole
the next time: `dvc push` then leaves objects out, sends the listing of a folder without its files, and ends with
status 0; every later one finds the listing and believes that its files are there. So the lists are dropped first, and
after a push the remote is asked for every object.
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
    words = [option for option in ("quiet", "run_cache") if getattr(options, option)]
    command = [options.command, *(f"--{word.replace('_', '-')}" for word in words), *options.targets]
    try:
        with _repo() as repo, repo.lock:
            repo.drop_data_index()
        return push(command, options.targets) if options.command == "push" else _dvc(command)
    except BadInput as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 3
    except DvcException as error:  # it is busy, or this is none of its repositories
        print(f"{options.command}: {error}", file=sys.stderr)
        return 1


def push(command: list[str], targets: list[str]) -> int:
    """`dvc push`, once more where the remote had a folder's listing and not all of its files. Returns DVC's status.

    Raises `BadInput` if an object is neither here nor there.
    """
    if status := _dvc(command):
        return status
    if missing := absent(targets):
        print(f"{len(missing)} objects are not in the remote after that; pushing them once more", file=sys.stderr)
        with _repo() as repo, repo.lock:
            unlist(repo, repo.cloud.get_remote_odb(), missing)
            repo.drop_data_index()
        if status := _dvc(command):
            return status
        missing = absent(targets)
    if missing:
        with _repo() as repo:
            lost = {oid: name for oid, name in missing.items() if not repo.cache.local.exists(oid)} or missing
        named = "\n  ".join(f"{oid} of {name}" for oid, name in list(lost.items())[:NAMED])
        raise BadInput(f"{len(lost)} objects are neither here nor in the remote; `dvc repro` makes them:\n  {named}")
    return 0


def absent(targets: Iterable[str] = ()) -> dict[str, str]:
    """The objects that the remote lacks of what dvc.lock names (or `targets` alone), and each one's output."""
    with _repo() as repo:
        wanted = used(repo, targets)
        there = set(repo.cloud.get_remote_odb().oids_exist(wanted))
    return {oid: name for oid, name in wanted.items() if oid not in there}


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


def _dvc(words: list[str]) -> int:
    from dvc.cli import main as dvc

    return int(dvc(words))


def _repo() -> Any:
    from dvc.repo import Repo

    return Repo()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
