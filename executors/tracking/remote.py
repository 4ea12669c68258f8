"""Sets DVC's default remote: `make remote URL=s3://bucket/path [ENDPOINT=https://…]`.

Any URL that DVC supports: s3, gs, azure, ssh, a folder. It is tested before it becomes the default, and gets `verify =
true`, because otherwise DVC passes on damaged objects silently.
"""

import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from stages.lib.errors import BadInput

NAME = "tidemill"
CONFIG = Path(".dvc/config")


def set_default(url: str, endpoint: str = "") -> None:
    """Write the remote into .dvc/config and test it. If it does not work, raises `BadInput` and keeps the old one."""
    _check_credentials(url)
    before = CONFIG.read_text()
    try:
        _dvc("remote", "add", "--force", "--default", NAME, url)
        _dvc("remote", "modify", NAME, "verify", "true")
        if endpoint:
            _dvc("remote", "modify", NAME, "endpointurl", endpoint)
        _try(url)
    except BadInput:
        CONFIG.write_text(before)
        raise
    print(f"{url} is the default remote ({NAME} in .dvc/config: commit it); `make push` fills it")


def _check_credentials(url: str) -> None:
    if "@" in url.partition("://")[2].partition("/")[0] and ":" in url.partition("://")[2].partition("@")[0]:
        raise BadInput(
            "the URL contains a password, and .dvc/config is committed; set the password in the environment instead"
        )


def _try(url: str) -> None:
    from dvc.repo import Repo

    with Repo() as repo:
        try:
            remote = repo.cloud.get_remote()
            probe = remote.fs.join(remote.path, "tidemill", f"probe-{uuid.uuid4().hex}")
            remote.fs.makedirs(remote.fs.parent(probe), exist_ok=True)
            remote.fs.pipe_file(probe, b"probe")
            found = _read(remote.fs, probe)
            remote.fs.remove(probe)
        except Exception as error:  # each backend has its own errors
            raise BadInput(
                f"cannot write and read {url} ({type(error).__name__}: {error}); check its credentials (for S3 "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), the bucket and ENDPOINT"
            ) from None
        if found != b"probe":
            raise BadInput(f"{url} returned {found[:20]!r} instead of the bytes written to it; use another store")


def _read(fs: Any, path: str) -> bytes:
    with fs.open(path, "rb") as stream:
        return bytes(stream.read())


def _dvc(*words: str) -> None:
    command = [sys.executable, "-m", "dvc", *words, "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
    if done.returncode:
        raise BadInput(f"`dvc {' '.join(words)}`: {(done.stderr or done.stdout).strip()}")
