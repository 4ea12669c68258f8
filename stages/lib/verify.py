"""Re-hashes everything: the artifacts of the workspace, and on request DVC's cache and remote.

    make verify             every artifact against its seal, every output against dvc.lock
    make verify REMOTE=1    every object of the DVC cache and of the default remote as well

DVC trusts modification times and never re-hashes its cache (docs/architecture.md, section 4), so
nothing here does: each byte is read. Exit status 0 when all is well, 3 otherwise.
"""

import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from stages.lib import artifacts

OK, BAD = 0, 3


def main(arguments: list[str]) -> int:
    """Print a line for each thing checked and return the exit status."""
    if unknown := set(arguments) - {"--remote"}:
        print(f"verify: unknown argument {unknown.pop()}; it takes --remote or nothing", file=sys.stderr)
        return BAD
    console = Console(soft_wrap=True, highlight=False)
    checks = [check_artifacts(), check_outputs()]
    if "--remote" in arguments:
        checks += [check_cache(), check_remote()]
    count = problems = 0
    for name, problem in (line for check in checks for line in check):
        count += 1
        problems += problem is not None
        console.print(f"[red]damaged[/red]  {problem}" if problem else f"[green]ok[/green]       {name}")
    console.print(f"{count} checked, {problems} damaged")
    return BAD if problems else OK


Line = tuple[str, str | None]  # what was checked, and what is wrong with it


def check_artifacts() -> Iterator[Line]:
    """Every sealed directory against its seal, and its inputs against their seals."""
    for path in artifacts.find_all():
        try:
            artifact = artifacts.open(path)
            yield f"{path}  {artifact.root[:16]}", None
        except artifacts.Damaged as error:
            yield str(path), str(error)


def check_outputs() -> Iterator[Line]:
    """Every output that dvc.lock names and the workspace holds against the hash in dvc.lock."""
    from dvc_data.hashfile.build import build

    repo = _repo()
    for out in repo.index.outs:
        name = repo.fs.relpath(out.fs_path)
        if not out.hash_info or not out.exists:
            yield f"{name}  not in this workspace: `dvc pull {name}` or `dvc repro` brings it", None
            continue
        _, _, found = build(out.cache, out.fs_path, out.fs, "md5", dry_run=True, ignore=repo.dvcignore)
        same = found.hash_info.value == out.hash_info.value
        problem = (
            f"{name} is not what dvc.lock records: {out.hash_info.value} there, {found.hash_info.value} here; "
            f"`rm -r {name} && dvc checkout {name}` restores it, `dvc commit {name}` keeps the change"
        )
        yield f"{name}  md5 {out.hash_info.value}", None if same else problem


def check_cache() -> Iterator[Line]:
    """Every object of the DVC cache against the hash that is its name."""
    advice = "remove that file, then `dvc pull` or `dvc repro`"
    yield from _check_objects(_repo().cache.local, "cache", advice)


def check_remote() -> Iterator[Line]:
    """Every object of the default remote against the hash that is its name, and that none is missing."""
    repo = _repo()
    if not repo.config["core"].get("remote"):
        yield "remote", "no default remote; set one with `dvc remote add --default NAME URL`"
        return
    odb = repo.cloud.get_remote_odb()
    yield from _check_objects(odb, "remote", "remove that object, then `dvc push` from a workspace that verifies")
    present = set(odb.all())
    for out in repo.index.outs:
        if out.hash_info and out.hash_info.value not in present:
            name = repo.fs.relpath(out.fs_path)
            yield name, f"{name}: object {out.hash_info.value} is not in the remote; run `dvc push {name}`"


def _check_objects(odb: Any, where: str, advice: str) -> Iterator[Line]:
    from dvc_data.hashfile.hash import hash_file

    for oid in sorted(odb.all()):
        path = odb.oid_to_path(oid)
        _, found = hash_file(path, odb.fs, "md5")
        same = found.value == oid.removesuffix(".dir")
        yield f"{where} {oid}", None if same else f"{where} object {path} holds {found.value}, not {oid}; {advice}"


def _repo() -> Any:
    from dvc.repo import Repo

    return Repo()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
