"""A clone of the workspace for experiments, so that the workspace itself never changes.

It contains the committed files and has its own data, checkpoints and locks. It shares DVC's cache (run cache included),
the journal, the environment, downloads and everything else at the top of the workspace that git does not track.
"""

import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executors.tracking import git
from stages.lib import params
from stages.lib.errors import BadInput

# A run's products, never shared between workspaces.
OWN = frozenset({"data", "models", "report", "metrics", "plots", ".tidemill", ".dvc", ".git", "dvc.lock"})
STATE, JOURNAL = Path(".tidemill"), Path("journal")
OWN_STATE = {"run", "checkpoints", "ablate", "bytecode", "plots", "serve", "tensorboard"}
LOCK_FILE = git.LOCK_FILE


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
        done = git.run("rev-parse", "--verify", "--quiet", self.reference(experiment), where=self.path)
        return done.stdout.strip() if done.returncode == 0 else None

    def show(self, commit: str, file: str) -> str:
        """The text of a file of a commit."""
        return git.call("show", f"{commit}:{file}", where=self.path)

    @contextmanager
    def files(self, commit: str) -> Iterator["Files"]:
        """The files of `commit`, including those DVC tracks."""
        from dvc.repo import Repo

        with Repo(str(self.path), rev=commit) as repo:
            yield Files(repo)

    def publish(self, experiment: str) -> None:
        """Copy the experiment into the workspace's own repository, for `dvc exp show`, `apply` and `push`."""
        reference = self.reference(experiment)
        git.call("fetch", "--quiet", "--no-tags", str(self.path), f"+{reference}:{reference}")


class Files:
    """The files of one commit, including those DVC tracks. `outs` are the outputs that are in the cache: dvc.lock also
    names those of stages that did not run here."""

    def __init__(self, repo: Any) -> None:
        self._system = repo.dvcfs
        here = [out for out in repo.index.outs if not (out.use_cache and out.changed_cache())]
        self.outs = [repo.fs.relpath(out.fs_path, repo.root_dir) for out in here]

    def exists(self, path: str) -> bool:
        return bool(self._system.exists(path))

    def text(self, path: str) -> str:
        return bytes(self._system.read_bytes(path)).decode()

    def rows(self, path: str) -> list[dict[str, Any]]:
        import pyarrow.parquet as pq

        return list(pq.read_table(io.BytesIO(self._system.read_bytes(path))).to_pylist())


def check_committed() -> str:
    """The workspace's commit. Raises `BadInput` if the workspace differs from it.

    dvc.lock and profile.yaml may differ: experiments write their own, with the profile in force. Untracked entries at
    the top (a data folder, the environment) are shared with the clone; a new file among the tracked ones is not, so it
    counts as a difference.
    """
    return git.committed(
        "experiments would run without these changes", lambda line: line[3:] == params.PROFILE.name or is_shared(line)
    )


def prepare(folder: Path, commit: str = "", own: frozenset[str] = OWN) -> Clone:
    """The clone in `folder`, created or moved to `commit`, or to the workspace's; what a killed run left stays. What is
    named in `own` it does not share.

    Raises `BadInput` for uncommitted changes if no commit is named, a commit that git does not have, or a folder that
    is no DVC workspace.
    """
    if commit and git.run("cat-file", "-e", f"{commit}^{{commit}}").returncode:
        raise BadInput(f"git has no commit {commit} here; fetch the whole history: git fetch --unshallow --tags")
    base = commit or check_committed()
    path = folder.resolve()
    if not (path / ".git").is_dir():
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        git.call("clone", "--quiet", "--shared", "--no-checkout", ".", str(path))
    clone = Clone(path, base)
    git.call("fetch", "--quiet", "--no-tags", "origin", "HEAD", where=path)
    _drop_unfinished(path)
    fresh = not (path / "dvc.yaml").exists() or git.call("rev-parse", "HEAD", where=path).strip() != base
    lock = path / LOCK_FILE
    kept = None if fresh or not lock.exists() else lock.read_text()
    git.call("checkout", "--quiet", "--force", "--detach", base, where=path)
    # The committed lock's entries for stages that a run does not reach are not that run's results.
    lock.unlink(missing_ok=True)
    if kept is not None:
        lock.write_text(kept)
    for key, otherwise in (("user.name", "Tidemill"), ("user.email", "tidemill@localhost")):
        known = git.run("config", key).stdout.strip()
        git.call("config", key, known or otherwise, where=path)
    _share(path, own)
    return clone


def _drop_unfinished(path: Path) -> None:
    """Forget an experiment whose saving was killed halfway."""
    for reference in git.call("for-each-ref", "--format=%(refname)", "refs/exps/exec", where=path).splitlines():
        git.call("update-ref", "--no-deref", "-d", reference, where=path)
    shutil.rmtree(path / ".dvc/tmp/exps/run", ignore_errors=True)
    (path / ".git/index.lock").unlink(missing_ok=True)


def _share(path: Path, own: frozenset[str]) -> None:
    """Link the workspace's untracked entries and DVC's cache."""
    JOURNAL.mkdir(exist_ok=True)
    (STATE / "downloads").mkdir(parents=True, exist_ok=True)
    tracked = {name.split("/")[0] for name in git.call("ls-files").splitlines()}
    outside = [found for found in Path().iterdir() if found.name not in tracked | own]
    linked = [*outside, *(found for found in STATE.iterdir() if found.name not in OWN_STATE)]
    if JOURNAL.name in tracked - own:  # its shared.dvc is committed, so the other entries are linked one by one
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
        raise BadInput("this is not a DVC workspace; run this at the top of Tidemill's repository") from None


def is_shared(line: str) -> bool:
    """Whether a line of `git status` names an untracked entry at the top, which clones share."""
    return line.startswith("??") and "/" not in line[3:].rstrip("/")


def dvc() -> str:
    """The path of this interpreter's `dvc`."""
    return str(Path(sys.executable).with_name("dvc"))


def _dvc(*words: str, where: Path) -> None:
    environment = git.environment()
    done = subprocess.run([dvc(), *words], cwd=where, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadInput(f"dvc {words[0]}: {done.stderr.strip()}")
