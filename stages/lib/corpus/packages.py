"""Package archives by name, version and sha256, through the ordinary clients: pip, npm and apt.

The clients know the registries from this machine's own configuration; none is named here. A download
is kept in .tidemill/downloads under its hash, where `make clean` leaves it.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from stages.lib.artifacts import hash_file
from stages.lib.errors import BadInput

DOWNLOADS = Path(".tidemill/downloads")
Registry = Literal["pip", "npm", "apt"]
Form = Literal["wheel", "sdist"]


def fetch(registry: Registry, name: str, version: str, sha256: str, form: Form = "wheel") -> Path:
    """The archive of the package, from the cache or downloaded; its bytes are checked either way.

    `form` is pip's: a wheel is downloaded as it is; for an sdist pip asks its setup.py for metadata, after
    it has compared the hash and with what is installed here (no build dependencies are fetched).
    Raises `BadInput` if the client cannot get it, or its hash is not `sha256`: both hashes are named.
    """
    kept = DOWNLOADS / sha256
    if kept.is_dir() and (archives := list(kept.iterdir())):
        return _checked(archives[0], name, version, sha256)
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DOWNLOADS) as folder:
        _download(registry, name, version, sha256, form, Path(folder))
        archives = [path for path in Path(folder).iterdir() if not path.name.endswith(".txt")]
        if not archives:
            raise BadInput(f"{registry} downloaded nothing for {name} {version}; run its own command to see why")
        archive = _checked(archives[0], name, version, sha256)
        staged = Path(folder) / "staged"
        staged.mkdir()
        shutil.move(archive, staged / archive.name)
        staged.rename(kept)
    return kept / archive.name


def _checked(archive: Path, name: str, version: str, sha256: str) -> Path:
    found = hash_file(archive)
    if found != sha256:
        raise BadInput(_mismatch(name, version, sha256, found) + f" (delete {archive} if it is an old download)")
    return archive


def _mismatch(name: str, version: str, expected: str, found: str) -> str:
    return f"package {name} {version}: sha256 is {found}, params.yaml pins {expected}; pin the hash that you trust"


def _download(registry: Registry, name: str, version: str, sha256: str, form: Form, folder: Path) -> None:
    command = {"pip": _pip, "npm": _npm, "apt": _apt}[registry](name, version, sha256, form, folder)
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BadInput(f"package {name} {version} needs the client {command[0]}, which is not installed") from None
    if result.returncode == 0:
        return
    if got := re.search(r"Got\s+([0-9a-f]{64})", result.stdout + result.stderr):
        raise BadInput(_mismatch(name, version, sha256, got.group(1)))
    lines = [line for line in (result.stderr or result.stdout).splitlines() if line.strip()]
    raise BadInput(f"{registry} cannot download {name} {version}: {' '.join(lines[-2:])}")


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
