"""What SOURCE may be, as an entry of collect.sources: a folder, a git URL, an archive, a table of code, a package."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from executors.tracking import git
from stages.lib import artifacts, packages
from stages.lib.corpus import archives, codesearchnet, tables
from stages.lib.errors import BadInput

CLONES = Path(".tidemill/sources")
GIT = re.compile(r"(https?|ssh|git|file)://|[\w.-]+@[\w.-]+:|.*\.git/?$")
PACKAGE = re.compile(r"(?:(pip|npm|apt):)?(@?[A-Za-z0-9][\w.+/-]*?)(?:(?:==|@|=)([\w.+:~-]+))?$")
WHEEL = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)-.*\.whl$")
DEB = re.compile(r"(?P<name>[^_]+)_(?P<version>[^_]+)_[^_]+\.deb$")
TIMEOUT_S = 600.0


def read(word: str) -> dict[str, Any]:
    """The source that `word` means. Raises `BadInput`, saying what to do, for anything that collect cannot read."""
    path = Path(word).expanduser()
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return _file(path)
    if GIT.match(word):
        return _folder(_clone(word))
    found = PACKAGE.match(word)
    if not found or word.startswith((".", "/", "~")) or (not found[1] and "/" in word):
        raise BadInput(
            f"SOURCE={word}: no such file or folder; give a folder, a git URL, an archive, a Parquet or JSONL file of "
            "code, or a package (NAME, npm:NAME, apt:NAME, each with ==VERSION or without)"
        )
    return _package(found[1] or "pip", found[2], found[3] or "")


def named_from_here(word: str) -> str:
    """The path of a file, relative to this folder where it is below it."""
    path, here = Path(word).expanduser().resolve(), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _folder(path: Path) -> dict[str, Any]:
    if any(codesearchnet.is_published(file) for pattern in codesearchnet.PATTERNS for file in path.rglob(pattern)):
        return {"kind": "codesearchnet", "name": path.resolve().name, "path": str(path.resolve())}
    return {"kind": "tree", "name": f"{path.resolve().name}@{_revision(path)}", "path": str(path.resolve())}


def _revision(folder: Path) -> str:
    """What the folder holds now, which collect does not watch: its commit, or the hash of its files where it is no
    checkout or has changes."""
    head = git.run("rev-parse", "--short", "HEAD", where=folder)
    top = git.run("rev-parse", "--show-toplevel", where=folder).stdout.strip()
    if (
        head.returncode == 0
        and Path(top) == folder.resolve()
        and not git.run("status", "--porcelain", where=folder).stdout
    ):
        return head.stdout.strip()
    whole = hashlib.sha256()
    for name, data in archives.read_folder(folder):
        whole.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return whole.hexdigest()[:10]


def _file(path: Path) -> dict[str, Any]:
    name, place = f"{path.name}@{artifacts.hash_file(path)[:10]}", str(path.resolve())
    if any(path.match(pattern) for pattern in codesearchnet.PATTERNS) and codesearchnet.is_published(path):
        return {"kind": "codesearchnet", "name": name, "path": place}
    if not tables.is_table(path):
        next(archives.read_archive(path), None)  # refuses what is no archive
    elif problem := tables.problem(path):
        raise BadInput(f"SOURCE={path}: {problem}")
    return {"kind": "tree", "name": name, "path": place}


def _clone(url: str) -> Path:
    """A checkout of `url` in .tidemill/sources, at the newest commit."""
    name = url.rstrip("/").removesuffix(".git").rpartition("/")[2].rpartition(":")[2]
    folder = CLONES / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(f"cloning {url}", flush=True)
    done = git.run("clone", "--quiet", "--depth", "1", "--", url, str(folder))
    if done.returncode:
        raise BadInput(f"SOURCE={url}: git cannot clone it: {done.stderr.strip()}")
    return folder


def _package(registry: str, name: str, version: str) -> dict[str, Any]:
    """The package's archive, downloaded through the registry's client and pinned by version and sha256."""
    pinned = {"pip": f"{name}=={version}", "npm": f"{name}@{version}", "apt": f"{name}={version}"}[registry]
    wish = pinned if version else name
    command = {
        "pip": [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                "--ignore-requires-python", "--only-binary", ":all:", wish],
        "npm": ["npm", "pack", "--silent", wish],
        "apt": ["apt-get", "download", "--quiet", wish],
    }[registry]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except FileNotFoundError:
            raise BadInput(f"SOURCE={wish}: {command[0]} is not installed") from None
        archive = next((path for path in Path(folder).iterdir() if path.is_file()), None)
        if done.returncode or archive is None:
            said = " ".join((done.stderr or done.stdout).strip().splitlines()[-2:])
            hint = "; without a wheel it must be pinned in a profile (form: sdist, docs/corpus.md)" * (
                registry == "pip"
            )
            raise BadInput(f"SOURCE={wish}: {registry} cannot download it: {said}{hint}")
        source = _pin(registry, name, archive)
        kept = packages.DOWNLOADS / source["sha256"]
        if not kept.is_dir():
            kept.mkdir(parents=True)
            shutil.move(archive, kept / archive.name)
    return source


def _pin(registry: str, name: str, archive: Path) -> dict[str, Any]:
    if registry == "npm":
        inside = dict(archives.read_archive(archive))
        version = str(json.loads(inside["package/package.json"])["version"])
    else:
        found = (WHEEL if registry == "pip" else DEB).match(archive.name)
        if not found:
            raise BadInput(f"{archive.name}: cannot tell the version of {name}; pin it in a profile (docs/corpus.md)")
        version = found["version"].replace("%3a", ":")
    return {
        "kind": "package",
        "registry": registry,
        "name": name,
        "version": version,
        "sha256": artifacts.hash_file(archive),
    }
