"""What DVC's default remote carries besides data: the commit as a bundle, dvc.lock, result records."""

import hashlib
import json
import tempfile
import uuid
from pathlib import Path
from typing import Any

from executors.tracking import git
from stages.lib.errors import BadInput


class Courier:
    """Sends and looks up bundles, locks and records."""

    def __init__(self) -> None:
        from dvc.repo import Repo

        with Repo() as repo:
            found = repo.cloud.get_remote()
            self.fs, self.root, self.url = found.fs, found.path, repo.config["remote"][found.name]["url"]

    def send_bundle(self, commit: str) -> None:
        """Upload the commit unless the remote has it."""
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / "bundle"
            git.call("bundle", "create", "--quiet", str(bundle), "HEAD")
            self._put(bundle, "bundles", f"{commit}.bundle")

    def send_lock(self) -> str:
        """Upload this workspace's dvc.lock under its sha256 and return that."""
        lock = Path("dvc.lock")
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "lock"
            copy.write_bytes(lock.read_bytes() if lock.is_file() else b"schema: '2.0'\nstages: {}\n")
            name = hashlib.sha256(copy.read_bytes()).hexdigest()
            self._put(copy, "locks", name)
        return name

    def result(self, key: str) -> dict[str, Any] | None:
        """The record a pod left on delivery, or None."""
        path = self.path("results", f"{key}.json")
        try:
            if not self.fs.exists(path):
                return None
            with self.fs.open(path, "rb") as stream:
                return dict(json.loads(stream.read()))
        except Exception as error:
            raise self._refused(error) from None

    def path(self, *names: str) -> str:
        """The path of one of our files on the remote."""
        return str(self.fs.join(self.root, "tidemill", *names))

    def _put(self, source: Path, *names: str) -> None:
        target = self.path(*names)
        try:
            if self.fs.exists(target):
                return
            self.fs.makedirs(self.fs.parent(target), exist_ok=True)
            partial = f"{target}.{uuid.uuid4().hex}"  # nobody finds half a file under the final name
            self.fs.put_file(str(source), partial)
            self.fs.move(partial, target)
        except Exception as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> BadInput:
        # Each backend raises its own errors; all of them mean that the remote does not work.
        return BadInput(
            f"the remote {self.url} cannot be used: {type(error).__name__}: {error}; check its credentials (for S3 "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) and its address (`dvc remote list`)"
        )
