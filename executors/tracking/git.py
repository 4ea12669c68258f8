"""The commit of this workspace, where something is to run at exactly that commit elsewhere."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from stages.lib.errors import BadInput

LOCK_FILE = "dvc.lock"  # every run writes its own


def committed(consequence: str, travels: Callable[[str], bool] = lambda _line: False) -> str:
    """The commit that the working tree is. `travels` tells of a line of `git status --porcelain` that it does no harm.

    Raises `BadInput`, with the `consequence`, for a tree with other changes than in dvc.lock, or without a commit.
    """
    if run("rev-parse", "--verify", "--quiet", "HEAD").returncode:
        raise BadInput("this is no repository with a commit, and none could be run elsewhere; `git init`, `git commit`")
    lines = call("status", "--porcelain").splitlines()
    changed = [line for line in lines if line[3:] != LOCK_FILE and not travels(line)]
    if changed:
        listed = "\n  ".join(changed[:10])
        raise BadInput(
            f"the working tree is not a commit, and {consequence}:\n  {listed}\n"
            "commit it (`git commit --all`; `git add` for what is new) or put it aside (`git stash -u`)"
        )
    return call("rev-parse", "HEAD").strip()


def call(*words: str, where: Path | None = None) -> str:
    """What git prints. Raises `BadInput` with what it says if it fails."""
    done = run(*words, where=where)
    if done.returncode:
        raise BadInput(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout


def run(*words: str, where: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run git in the folder `where`."""
    return subprocess.run(["git", *words], cwd=where, env=environment(), capture_output=True, text=True, check=False)


def environment() -> dict[str, str]:
    """With it git, and who asks it, look at the folder that they are given, also where a hook or a test has set git's
    variables for another."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
