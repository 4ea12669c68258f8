"""Edits of single functions out of a git history: code before, code after, and the commit's message.

After CommitPackFT (Muennighoff et al. 2023, OctoPack, arXiv 2308.07124, appendix D). Only git's plumbing is used
(`git log --raw`, `git cat-file --batch`): nothing is checked out, and no hook or filter of the repository runs.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from stages.lib import params
from stages.lib.corpus import functions, names
from stages.lib.errors import BadInput

Positive = Annotated[int, Field(gt=0)]
_RAW = re.compile(r":\d+ \d+ ([0-9a-f]+) ([0-9a-f]+) (\w)\d*\t(.+)")
_REVISION = re.compile(r"[0-9a-f]{40}")


class Words(params.Section):
    """How many words a message has."""

    least: Positive
    most: Positive


class Filters(params.Section):
    """What of a history is kept; the comments of the file say what each means."""

    files: Positive
    functions: Positive
    words: Words
    verbs: dict[str, list[str]]
    forbidden: list[str]
    removed: str
    licenses: list[str]


@dataclass(frozen=True)
class Change:
    """One function of one file, `before` and `after` a commit; `line` and `imports` are those of the code after."""

    commit: str
    message: str
    path: str
    language: str
    name: str
    line: int
    before: str
    after: str
    imports: str


@dataclass(frozen=True)
class Commit:
    """A commit as the history lists it: the first line of its message, and (old blob, new blob, kind, path)s."""

    id: str
    subject: str
    files: tuple[tuple[str, str, str, str], ...]


def read_filters(file: Path) -> Filters:
    """The filters in `file`. Raises `BadInput`, naming file and key."""
    return params.parse(params.read(file), Filters, file)


def read(
    repository: Path, revision: str, filters: Filters, kinds: list[str], most: int
) -> tuple[list[Change], list[tuple[str, str]]]:
    """Of the `most` newest commits up to `revision` those that stand the filters, the newest first, and the others:
    commit id and why. `kinds` are the keys of `filters.verbs` whose verbs may begin a message.

    Raises `BadInput` for a folder that is no git repository, a revision that is not a whole commit id of it, no git.
    """
    _check(repository, revision)
    verbs = {verb for kind in kinds for verb in filters.verbs[kind]}
    kept: list[Change] = []
    aside: list[tuple[str, str]] = []
    wanted: list[tuple[Commit, str]] = []
    for commit in _history(repository, revision, most):
        message, fault = read_message(commit.subject, filters, verbs)
        fault = fault or _file_fault(commit, filters)
        if fault:
            aside.append((commit.id, fault))
        else:
            wanted.append((commit, message))
    blobs = _contents(repository, [blob for commit, _ in wanted for blob in commit.files[0][:2]])
    for commit, message in wanted:
        old, new, _, path = commit.files[0]
        language = functions.language_of(path) or ""
        found = find_change(blobs[old], blobs[new], language, filters.functions)
        if isinstance(found, str):
            aside.append((commit.id, found))
        else:
            before, after = found
            imports = names.used_imports(names.find_imports(blobs[new].decode(), language), after.code, language)
            texts = before.code, after.code, imports
            kept.append(Change(commit.id, message, path, language, after.name, after.line, *texts))
    return kept, aside


def read_message(subject: str, filters: Filters, verbs: set[str]) -> tuple[str, str]:
    """The message to be used of a commit's first line, and what is wrong with it, or ""."""
    message = re.sub(filters.removed, "", subject, flags=re.IGNORECASE).strip()
    words = message.split()
    if not filters.words.least <= len(words) <= filters.words.most:
        return message, "message length"
    if words[0].lower() not in verbs:
        return message, "message does not begin with a verb that is wanted"
    if any(re.search(pattern, message, re.IGNORECASE) for pattern in filters.forbidden):
        return message, "message is of the project, not of the code"
    return message, ""


def find_change(
    before: bytes, after: bytes, language: str, most: int
) -> tuple[functions.Function, functions.Function] | str:
    """The one function that differs between two versions of a file, or why there is none."""
    try:
        old, new = (_functions(text.decode(), language) for text in (before, after))
    except UnicodeDecodeError:
        return "file is not UTF-8"
    changed = [name for name in new if name in old and old[name].code != new[name].code]
    if len(changed) != most or old.keys() != new.keys():
        return "not one changed function"
    return old[changed[0]], new[changed[0]]


def _functions(text: str, language: str) -> dict[str, functions.Function]:
    found: dict[str, functions.Function] = {}
    for function in functions.extract(text, language):
        name = function.name
        while name in found:  # overloads, methods of one name: told apart by their order
            name += "'"
        found[name] = function
    return found


def _file_fault(commit: Commit, filters: Filters) -> str:
    if len(commit.files) != filters.files:
        return "number of files"
    if commit.files[0][2] != "M":
        return "file is new, gone or renamed"
    return "" if functions.language_of(commit.files[0][3]) else "language is none of ours"


def _check(repository: Path, revision: str) -> None:
    if not repository.is_dir():
        raise BadInput(f"generate.commits.repository: {repository} is no folder")
    head = _git(repository, "rev-parse", "--verify", "--quiet", f"{revision or 'HEAD'}^{{commit}}").decode().strip()
    if not _REVISION.fullmatch(revision) or head != revision:
        raise BadInput(
            f"generate.commits.revision: {revision!r} is not pinned, so that the result would change with the "
            f"repository; write the commit's whole id: {head}"
        )


def _history(repository: Path, revision: str, most: int) -> Iterator[Commit]:
    words = (
        "log",
        "--no-merges",
        "--raw",
        "--no-abbrev",
        "--no-renames",
        f"--max-count={most}",
        "--format=%x01%H%x00%s",
    )
    for part in _git(repository, *words, revision).decode(errors="replace").split("\x01")[1:]:
        head, _, rest = part.partition("\n")
        identity, _, subject = head.partition("\0")
        files = tuple(found.groups() for found in map(_RAW.fullmatch, rest.strip().split("\n")) if found)
        yield Commit(identity, subject, files)  # type: ignore[arg-type]


def _contents(repository: Path, blobs: list[str]) -> dict[str, bytes]:
    """The bytes of each blob (git-cat-file(1), "BATCH OUTPUT")."""
    data = _git(repository, "cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs).encode())
    found: dict[str, bytes] = {}
    start = 0
    for blob in blobs:
        end = data.index(b"\n", start)
        header = data[start:end].split()
        if header[-1] == b"missing":
            raise BadInput(
                f"{repository}: git has no blob {blob}; a shallow or partial clone cannot be read (`git fetch`)"
            )
        size = int(header[2])
        found[blob] = data[end + 1 : end + 1 + size]
        start = end + size + 2
    return found


def _git(repository: Path, *words: str, stdin: bytes = b"") -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(repository), *words], input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise BadInput("the method commit needs git, which is not installed here") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or "no such commit"
        raise BadInput(f"generate.commits: git {words[0]} in {repository}: {said}")
    return done.stdout
