"""The workspace's commit, for what must run elsewhere at exactly that commit."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from stages.lib.errors import BadInput

LOCK_FILE = "dvc.lock"  # every run writes its own


def committed(consequence: str, travels: Callable[[str], bool] = lambda _line: False) -> str:
    """The working tree's commit. `travels` decides for a line of `git status --porcelain` whether it is harmless.

    Raises `BadInput`, with the `consequence`, for changes outside dvc.lock, or without a commit.
    """
    if run("rev-parse", "--verify", "--quiet", "HEAD").returncode:
        raise BadInput("there is no git commit to run elsewhere; run `git init` and `git commit`")
    lines = call("status", "--porcelain").splitlines()
    changed = [line for line in lines if line[3:] != LOCK_FILE and not travels(line)]
    if changed:
        listed = "\n  ".join(changed[:10])
        raise BadInput(
            f"the working tree has uncommitted changes, and {consequence}:\n  {listed}\n"
            "commit them (`git commit --all`; `git add` new files first) or put them aside (`git stash -u`)"
        )
    return call("rev-parse", "HEAD").strip()


def call(*words: str, where: Path | None = None) -> str:
    """Git's output. Raises `BadInput` with its error if it fails."""
    done = run(*words, where=where)
    if done.returncode:
        raise BadInput(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout


def run(*words: str, where: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run git in the folder `where`."""
    return subprocess.run(["git", *words], cwd=where, env=environment(), capture_output=True, text=True, check=False)


def environment() -> dict[str, str]:
    """An environment without git's variables, so that git looks at the folder it is given, even under a hook or a test
    that set them for another."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
