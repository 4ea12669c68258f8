"""A small repository of real stages (collect, filter), with a remote, to be submitted, pushed, pulled and damaged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from workspace import REPOSITORY

from commands.ablate.matrix import round_trip
from executors import profiles
from stages.lib import params

KEPT = ("collect", "filter")


class Street:
    """The stages `kept` of this working tree on a few source files, as a committed repository with a DVC remote."""

    def __init__(self, path: Path, remote: str, kept: tuple[str, ...] = KEPT) -> None:
        self.path, self.kept = path, kept
        path.mkdir(parents=True, exist_ok=True)
        for name in ("commands", "executors", "stages", "containers", "k8s", "slurm"):
            shutil.copytree(REPOSITORY / name, path / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(REPOSITORY / "tests/support/sources", path / "tree/sources")
        shutil.copy(REPOSITORY / ".gitignore", path)
        shutil.copy(REPOSITORY / ".dvcignore", path)
        self.edit(REPOSITORY / "params.yaml", "params.yaml", self._params)
        (path / "profile.yaml").write_text(profiles.text([], params.read(path / "params.yaml")))
        self.edit(REPOSITORY / "dvc.yaml", "dvc.yaml", self._stages)
        self.edit(REPOSITORY / "k8s/params.yaml", "k8s/params.yaml", self._cluster)
        self.git("init", "--quiet")
        self.dvc("init", "--quiet")
        self.dvc("config", "core.analytics", "false")
        if remote:
            self.dvc("remote", "add", "--quiet", "--default", "store", remote)
            self.dvc("remote", "modify", "store", "verify", "true")
        self.commit()

    @staticmethod
    def _params(values: dict) -> None:
        values["collect"]["sources"] = [{"kind": "tree", "name": "ours", "path": "tree", "license": "MIT"}]
        values["filter"]["self_contained"] = False

    def _stages(self, values: dict) -> None:
        values["stages"] = {name: values["stages"][name] for name in self.kept}
        values.pop("plots", None)

    def _cluster(self, values: dict) -> None:
        values["cluster"]["secret"] = ""

    def edit(self, source: str | Path, target: str, change) -> None:  # type: ignore[no-untyped-def]
        yaml = round_trip()
        values = yaml.load(Path(self.path, source))
        change(values)
        yaml.dump(values, self.path / target)

    def clone(self, path: Path) -> "Street":
        """A fresh clone: the committed files, no cache, no data."""
        subprocess.run(["git", "clone", "--quiet", str(self.path), str(path)], check=True)
        other = object.__new__(Street)
        other.path = path
        return other

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-m", "as it is")

    def git(self, *words: str) -> str:
        return subprocess.check_output(["git", *words], cwd=self.path, text=True)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.path,
            env=self.env(**environment),
            capture_output=True,
            text=True,
            timeout=800,
        )

    def start(self, *words: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=self.path,
            env=self.env(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def env(self, **more: str) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "DVC_SITE_CACHE_DIR": f"{self.path}-site", **more}

    def dvc(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run("dvc", *words, **environment)
