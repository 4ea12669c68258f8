"""The files of a git commit, out of git's objects: no checkout, so no filter, hook or setting changes a byte.

A commit is fetched once into a bare repository in .tidemill/downloads, where `make clean` leaves it, and is read from
there without a network. Submodules and pointers to LFS are no files of the commit: they are counted.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from stages.lib import packages
from stages.lib.corpus import licensetexts
from stages.lib.corpus.archives import MOST_BYTES
from stages.lib.corpus.functions import language_of
from stages.lib.corpus.reader import File, is_selected
from stages.lib.corpus.sources import Git
from stages.lib.errors import BadInput

_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_ALL = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_FILE, _EXECUTABLE, _SUBMODULE = "100644", "100755", "160000"
_CHUNK = 1 << 20
_ELSEWHERE = {
    f"GIT_{name}" for name in ("DIR", "COMMON_DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "NAMESPACE")
}


def fetch(source: Git) -> Path:
    """The bare repository that holds the commit, from .tidemill/downloads or the source's repository.

    Raises `BadInput` if the revision is no full hash (and says which one it stands for), or the commit cannot be had.
    """
    if not _HASH.fullmatch(source.revision):
        raise BadInput(f"source {source.name}: revision {source.revision!r} is no full commit hash; {_meaning(source)}")
    kept = packages.DOWNLOADS / f"git-{source.revision}"
    if kept.is_dir():
        return kept
    packages.DOWNLOADS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=packages.DOWNLOADS) as folder:
        bare = Path(folder) / "bare"
        form = "sha256" if len(source.revision) == 64 else "sha1"
        _git("init", "--quiet", "--bare", f"--object-format={form}", str(bare))
        _bring(source, bare)
        with _settled(kept):
            bare.rename(kept)
    return kept


def read(source: Git) -> Iterator[File]:
    """The source files of the commit in the order of their paths, each under the licence nearest to it.

    Raises `BadInput` if it says no licence and the source names none, or an object is damaged.
    """
    bare = fetch(source)
    entries = _list(bare, source.revision)
    granted = {} if source.license is not None else _licenses(bare, source, entries)
    wanted: list[tuple[str, str]] = []
    for mode, name, path in entries:
        if mode == _SUBMODULE:
            yield File(path, "", b"", skipped="submodule")
        language = language_of(path)
        if mode not in (_FILE, _EXECUTABLE) or not language or not is_selected(path, source.only):
            continue
        if source.take is None or language in source.take:
            wanted.append((name, path))
    for (_, path), data in zip(wanted, _contents(bare, [name for name, _ in wanted]), strict=True):
        yield File(path, language_of(path) or "", data, license=_nearest(granted, path))


def _bring(source: Git, bare: Path) -> None:
    """Fetch the commit alone, or all there is where a server hands out nothing less."""
    where = _place(source)
    alone = _git("fetch", "--quiet", "--no-tags", "--depth", "1", "--", where, source.revision, at=bare, check=False)
    if alone.returncode == 0:
        return
    whole = _git("fetch", "--quiet", "--no-tags", "--", where, *_ALL, at=bare, check=False)
    if whole.returncode:
        raise BadInput(f"source {source.name}: git cannot fetch from {where}: {_said(whole)}")
    if _git("cat-file", "-e", f"{source.revision}^{{commit}}", at=bare, check=False).returncode:
        raise BadInput(f"source {source.name}: {where} has no commit {source.revision} ({_said(alone)})")


def _meaning(source: Git) -> str:
    """What to write instead of a branch, a tag or a short hash."""
    where = _place(source)
    if (folder := Path(where)).is_dir():
        named = f"{source.revision}^{{commit}}"
        found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", named, at=folder, check=False).stdout
    else:
        named = source.revision
        names = (named, f"refs/heads/{named}", f"refs/tags/{named}", f"refs/tags/{named}^{{}}")
        said = _git("ls-remote", "--", where, *names, check=False)
        if said.returncode:
            return f"git cannot ask {where} for it: {_said(said)}"
        held = {name: one for one, _, name in (line.partition("\t") for line in said.stdout.splitlines())}
        found = next((held[name] for name in reversed(names) if name in held), "")  # a tag's commit, not the tag
    return f"it is now {found.strip()}: write that" if found else f"{where} has nothing of that name either"


def _place(source: Git) -> str:
    """The repository for git: a folder's path, or a URL as it is."""
    path = Path(source.repository).expanduser()
    return str(path.resolve()) if path.exists() else source.repository


def _list(bare: Path, revision: str) -> list[tuple[str, str, str]]:
    """Mode, object and path of every file of the commit that is not hidden, in the order of their paths."""
    out = _git("ls-tree", "-r", "-z", "--full-tree", revision, at=bare).stdout
    entries = (entry.partition("\t") for entry in out.split("\0") if entry)
    split = ((head.split(), path) for head, _, path in entries)
    return sorted(
        ((mode, name, path) for (mode, _, name), path in split if not any(p.startswith(".") for p in path.split("/"))),
        key=lambda entry: entry[2],
    )


def _licenses(bare: Path, source: Git, entries: list[tuple[str, str, str]]) -> dict[str, str]:
    """The licence of each folder that states one. Raises `BadInput` unless the topmost does."""
    stating = [(name, path) for mode, name, path in entries if mode != _SUBMODULE and licensetexts.may_state(path)]
    texts: dict[str, dict[str, bytes]] = {}
    for (_, path), data in zip(stating, _contents(bare, [name for name, _ in stating]), strict=True):
        texts.setdefault(str(PurePosixPath(path).parent), {})[path] = data
    found = {folder: licensetexts.stated(files) for folder, files in texts.items()}
    if not found.get("."):
        tried = ", ".join(texts.get(".", {})) or "no licence file, no package metadata"
        raise BadInput(
            f"source {source.name}: no licence found at {source.revision[:12]} ({tried}); read what it says and set "
            'the source\'s key `license` (an SPDX expression, or "" for unknown)'
        )
    # A folder whose own licence we don't know is not under that of the folder above.
    return {folder: license or licensetexts.UNKNOWN for folder, license in found.items() if license is not None}


def _nearest(granted: dict[str, str], path: str) -> str:
    return next((granted[str(folder)] for folder in PurePosixPath(path).parents if str(folder) in granted), "")


def _contents(bare: Path, names: list[str]) -> Iterator[bytes]:
    """Of each object its first megabyte, and a byte more."""
    command = ["git", "--git-dir", str(bare), "cat-file", "--batch"]
    with tempfile.TemporaryFile() as asked:
        asked.writelines(f"{name}\n".encode() for name in names)
        asked.seek(0)
        with subprocess.Popen(command, stdin=asked, stdout=subprocess.PIPE, env=_environment()) as process:
            assert process.stdout
            try:
                for name in names:
                    yield _content(process.stdout, name, bare)
            finally:
                process.kill()


def _content(stream: IO[bytes], name: str, bare: Path) -> bytes:
    head = stream.readline().split()
    if len(head) != 3:
        raise BadInput(f"{bare} lacks the object {name}; delete it and run collect again")
    size = int(head[2])
    data = stream.read(min(size, MOST_BYTES + 1))
    left = size - len(data) + 1  # a newline follows
    while left and (rest := stream.read(min(left, _CHUNK))):
        left -= len(rest)
    if left:
        raise BadInput(f"{bare}: the object {name} is damaged; delete it and run collect again")
    return data


@contextmanager
def _settled(kept: Path) -> Iterator[None]:
    """Another process may have fetched the same commit meanwhile."""
    try:
        yield
    except OSError:
        if not kept.is_dir():
            raise


def _git(*words: str, at: Path | None = None, check: bool = True) -> "subprocess.CompletedProcess[str]":
    where = ["-C", str(at)] if at else []
    try:
        done = subprocess.run(
            ["git", *where, *words], env=_environment(), capture_output=True, text=True, errors="surrogateescape"
        )
    except FileNotFoundError:
        raise BadInput("a source of kind git needs git, which is not installed") from None
    if check and done.returncode:
        raise BadInput(f"git {words[0]}: {_said(done)}")
    return done


def _said(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return " ".join(lines[:2]) or f"status {done.returncode}"


def _environment() -> dict[str, str]:
    """Without a prompt, and without what points git at another repository."""
    kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
