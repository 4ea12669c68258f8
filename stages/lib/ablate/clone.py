"""A clone of the workspace in which experiments run, so that the workspace itself never changes.

It holds the committed files; shares DVC's cache, and so its cache of runs, the journal, the environment, downloads and
whatever else git does not track at the top of the workspace; and keeps its own data, checkpoints and locks.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stages.lib.errors import BadInput

# What a run makes: never shared between workspaces.
OWN = {"data", "models", "report", "metrics", "plots", ".tidemill", ".dvc", ".git", "dvc.lock"}
STATE, JOURNAL = Path(".tidemill"), Path("journal")
OWN_STATE = {"run", "checkpoints", "ablate", "bytecode", "plots", "serve", "tensorboard"}
LOCK_FILE = "dvc.lock"


@dataclass(frozen=True)
class Clone:
    """The clone at `path`, at the workspace's commit `base`."""

    path: Path
    base: str

    def reference(self, experiment: str) -> str:
        """The git ref under which DVC keeps an experiment."""
        return f"refs/exps/{self.base[:2]}/{self.base[2:]}/{experiment}"

    def find(self, experiment: str) -> str | None:
        """The commit of an experiment, None if there is none."""
        done = _run(["git", "rev-parse", "--verify", "--quiet", self.reference(experiment)], self.path)
        return done.stdout.strip() if done.returncode == 0 else None

    def show(self, commit: str, file: str) -> str:
        """The text of a file of a commit."""
        return _git("show", f"{commit}:{file}", where=self.path)

    def publish(self, experiment: str) -> None:
        """Let the workspace's own repository have the experiment: `dvc exp show`, `apply` and `push` know it then."""
        reference = self.reference(experiment)
        _git("fetch", "--quiet", "--no-tags", str(self.path), f"+{reference}:{reference}")


def check_committed() -> str:
    """The workspace's commit. Raises `BadInput` where it is not what git would clone.

    dvc.lock may differ: experiments make their own. What git does not track at the top (a data folder, the
    environment) is shared with the clone, but not a new file among the tracked ones.
    """
    if _run(["git", "rev-parse", "--verify", "--quiet", "HEAD"]).returncode:
        raise BadInput("experiments are kept by git, and this is no repository with a commit; `git init`, `git commit`")
    changed = [line for line in _git("status", "--porcelain").splitlines() if not _is_harmless(line)]
    if changed:
        listed = "\n  ".join(changed[:10])
        raise BadInput(
            f"the working tree is not a commit, and experiments would run without these changes:\n  {listed}\n"
            "commit them (`git commit --all`; `git add` for what is new) or put them aside (`git stash -u`)"
        )
    return _git("rev-parse", "HEAD").strip()


def prepare(folder: Path) -> Clone:
    """The clone in `folder`, made, or brought to the workspace's commit with what a killed run left kept.

    Raises `BadInput` for a working tree with changes, or a workspace that DVC does not know.
    """
    base = check_committed()
    path = folder.resolve()
    if not (path / ".git").is_dir():
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        _git("clone", "--quiet", "--shared", "--no-checkout", ".", str(path))
    clone = Clone(path, base)
    _git("fetch", "--quiet", "--no-tags", "origin", "HEAD", where=path)
    _drop_unfinished(path)
    fresh = not (path / "dvc.yaml").exists() or _git("rev-parse", "HEAD", where=path).strip() != base
    lock = path / LOCK_FILE
    kept = None if fresh or not lock.exists() else lock.read_text()
    _git("checkout", "--quiet", "--force", "--detach", base, where=path)
    # What the lock of the commit says of stages that a run does not reach is no result of that run.
    lock.unlink(missing_ok=True)
    if kept is not None:
        lock.write_text(kept)
    for key, otherwise in (("user.name", "Tidemill"), ("user.email", "tidemill@localhost")):
        known = _run(["git", "config", key]).stdout.strip()
        _git("config", key, known or otherwise, where=path)
    _share(path)
    return clone


def _drop_unfinished(path: Path) -> None:
    """Forget an experiment whose saving was killed half-way."""
    for reference in _git("for-each-ref", "--format=%(refname)", "refs/exps/exec", where=path).splitlines():
        _git("update-ref", "--no-deref", "-d", reference, where=path)
    shutil.rmtree(path / ".dvc/tmp/exps/run", ignore_errors=True)
    (path / ".git/index.lock").unlink(missing_ok=True)


def _share(path: Path) -> None:
    """Link what the workspace has and git does not track, and DVC's cache."""
    JOURNAL.mkdir(exist_ok=True)
    (STATE / "downloads").mkdir(parents=True, exist_ok=True)
    tracked = {name.split("/")[0] for name in _git("ls-files").splitlines()}
    outside = [found for found in Path().iterdir() if found.name not in tracked | OWN]
    linked = [*outside, *(found for found in STATE.iterdir() if found.name not in OWN_STATE)]
    if JOURNAL.name in tracked:  # a shared journal's record is a file of the commit: the rest is linked one by one
        linked += [JOURNAL / "exchanges.log", JOURNAL / "claims"]
    (path / STATE).mkdir(exist_ok=True)
    for found in linked:
        target = path / found
        if target.is_symlink():
            target.unlink()
        if not target.exists():
            target.symlink_to(found.resolve())
    exclude = path / ".git/info/exclude"
    exclude.parent.mkdir(exist_ok=True)
    exclude.write_text("".join(f"/{found.name}\n" for found in outside))
    local = Path(".dvc/config.local")
    if local.is_file():
        shutil.copy(local, path / ".dvc/config.local")
    _dvc("cache", "dir", "--quiet", "--local", _cache_folder(), where=path)


def _cache_folder() -> str:
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            return str(repo.cache.local_cache_dir)
    except NotDvcRepoError:
        raise BadInput("this is no DVC workspace; run this at the top of Tidemill's repository") from None


def _is_harmless(line: str) -> bool:
    name = line[3:].rstrip("/")
    return name == LOCK_FILE or (line.startswith("??") and "/" not in name)


def dvc() -> str:
    """The path of the `dvc` that belongs to this interpreter."""
    import sys

    return str(Path(sys.executable).with_name("dvc"))


def _dvc(*words: str, where: Path) -> None:
    done = _run([dvc(), *words], where)
    if done.returncode:
        raise BadInput(f"dvc {words[0]}: {done.stderr.strip()}")


def _git(*words: str, where: Path | None = None) -> str:
    done = _run(["git", *words], where)
    if done.returncode:
        raise BadInput(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout


def _run(words: list[str], where: Path | None = None) -> "subprocess.CompletedProcess[str]":
    # git must look at the folder that it is given, also where a hook or a test has set its variables.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
    return subprocess.run(words, cwd=where, env=environment, capture_output=True, text=True, check=False)
