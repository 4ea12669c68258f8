"""Package archives by name, version and sha256, through the ordinary clients: pip, npm and apt.

The clients know the registries from this machine's own configuration; none is named here. Nothing of a package is
installed or imported.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from stages.lib.artifacts import hash_file
from stages.lib.errors import BadInput

DOWNLOADS = Path(".tidemill/downloads")
POLL_S = 0.2
# A setup.py may try a compiler before it names its metadata, where there may be none: this one does nothing.
NO_COMPILER = f"{shlex.quote(sys.executable)} -c pass"
Registry = Literal["pip", "npm", "apt"]
Form = Literal["wheel", "sdist"]


def fetch(registry: Registry, name: str, version: str, sha256: str, form: Form = "wheel") -> Path:
    """The archive of the package, kept in .tidemill/downloads under its hash, where `make clean` leaves it.

    Its bytes are checked whether they come from there or are downloaded; `form` is as in `download`.
    Raises `BadInput` if the client cannot get it, or its hash is not `sha256`: both hashes are named.
    """
    kept = DOWNLOADS / sha256
    if kept.is_dir() and (archives := list(kept.iterdir())):
        return _checked(archives[0], name, version, sha256)
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DOWNLOADS) as folder:
        archive = download(registry, name, version, sha256, Path(folder), form)
        staged = Path(folder) / "staged"
        staged.mkdir()
        shutil.move(archive, staged / archive.name)
        try:
            staged.rename(kept)
        except OSError:  # not empty: another stage was quicker
            if not (kept / archive.name).is_file():
                raise
    return kept / archive.name


def download(
    registry: Registry,
    name: str,
    version: str,
    sha256: str,
    folder: Path,
    form: Form = "wheel",
    watch: Callable[[], None] | None = None,
) -> Path:
    """The archive of the package, downloaded into `folder`, which is empty, and checked.

    `form` is pip's: a wheel is downloaded as it is; for an sdist pip asks its setup.py for metadata, after
    it has compared the hash and with what is installed here (no build dependencies are fetched).
    `watch` is called while the client works, several times a second; where there is one, pip writes to no other
    folder and keeps no copy. Raises as `fetch` does.
    """
    command = {"pip": _pip, "npm": _npm, "apt": _apt}[registry](name, version, sha256, form, folder)
    environment = {"CXX": NO_COMPILER}
    if watch:
        environment |= {"TMPDIR": str(folder.resolve()), "PIP_NO_CACHE_DIR": "1"}
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except FileNotFoundError:
        raise BadInput(f"package {name} {version} needs the client {command[0]}, which is not installed") from None
    out, err = _wait(process, watch)
    if process.returncode:
        raise BadInput(_complaint(registry, name, version, sha256, out, err))
    archives = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".txt"]
    if not archives:
        raise BadInput(f"{registry} downloaded nothing for {name} {version}; run its own command to see why")
    return _checked(archives[0], name, version, sha256)


def _wait(process: subprocess.Popen[str], watch: Callable[[], None] | None) -> tuple[str, str]:
    """What the client has printed once it has ended; it does not outlive an error of `watch`."""
    try:
        while True:
            try:
                return process.communicate(timeout=POLL_S if watch else None)
            except subprocess.TimeoutExpired:
                if watch:
                    watch()
    except BaseException:
        process.kill()
        process.wait()
        raise


def _complaint(registry: Registry, name: str, version: str, sha256: str, out: str, err: str) -> str:
    if got := re.search(r"Got\s+([0-9a-f]{64})", out + err):
        return _mismatch(name, version, sha256, got.group(1))
    lines = [line for line in (err or out).splitlines() if line.strip()]
    return f"{registry} cannot download {name} {version}: {' '.join(lines[-2:])}"


def _checked(archive: Path, name: str, version: str, sha256: str) -> Path:
    found = hash_file(archive)
    if found != sha256:
        raise BadInput(_mismatch(name, version, sha256, found) + f" (delete {archive} if it is an old download)")
    return archive


def _mismatch(name: str, version: str, expected: str, found: str) -> str:
    return f"package {name} {version}: sha256 is {found}, pinned is {expected}; pin the hash that you trust"


def _pip(name: str, version: str, sha256: str, form: Form, folder: Path) -> list[str]:
    # pip compares the hash before it looks into the archive, so that an sdist's setup.py that is not the
    # pinned one never runs.
    (folder / "requirements.txt").write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
    only = ["--only-binary", ":all:"] if form == "wheel" else ["--no-binary", ":all:", "--no-build-isolation"]
    options = ["--no-deps", "--ignore-requires-python", "--disable-pip-version-check", "--quiet"]
    return [sys.executable, "-m", "pip", "download", *options, *only, "--requirement", "requirements.txt"]


def _npm(name: str, version: str, _sha256: str, _form: Form, _folder: Path) -> list[str]:
    return ["npm", "pack", "--silent", f"{name}@{version}"]


def _apt(name: str, version: str, _sha256: str, _form: Form, _folder: Path) -> list[str]:
    return ["apt-get", "download", "--quiet", f"{name}={version}"]
