"""Re-hashes the workspace's artifacts, and on request DVC's cache and remote.

    make verify             every artifact against its seal, every output against dvc.lock
    make verify REMOTE=1    also every object of the DVC cache and the default remote

Modification times prove nothing (docs/architecture.md, section 4), so every byte is read. Exit status 0 if all is well,
otherwise 3.
"""

import argparse
from collections.abc import Iterator

from rich.console import Console

from executors.tracking import objects
from executors.tracking.objects import Line
from stages.lib import artifacts
from stages.lib.errors import BAD_INPUT, DONE


def main(arguments: list[str]) -> int:
    """Print a line per check and return the exit status."""
    parser = argparse.ArgumentParser(prog="make verify", description=__doc__)
    parser.add_argument("--remote", action="store_true", help="check DVC's cache and the default remote too")
    options = parser.parse_args(arguments)
    console = Console(soft_wrap=True, highlight=False)
    checks = [check_artifacts(), objects.check_outputs()]
    if options.remote:
        checks += [objects.check_cache(), objects.check_remote()]
    count = problems = 0
    for name, problem in (line for check in checks for line in check):
        count += 1
        problems += problem is not None
        console.print(f"[red]damaged[/red]  {problem}" if problem else f"[green]ok[/green]       {name}")
    console.print(f"{count} checked, {problems} damaged")
    return BAD_INPUT if problems else DONE


def check_artifacts() -> Iterator[Line]:
    """Check every sealed directory against its seal, and its inputs against theirs."""
    for path in artifacts.find_all():
        try:
            artifact = artifacts.open(path)
            yield f"{path}  {artifact.root[:16]}", None
        except artifacts.Damaged as error:
            yield str(path), str(error)
