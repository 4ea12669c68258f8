"""The artifact guard: open, seal and verify a directory under content hashes.

A stage's output directory becomes an artifact when its last file, `artifact.json`, is renamed into place. It lists
every file (path, bytes, rows, sha256), the input artifacts, the stage's parameters and seed, and the root hash over all
of that. It contains no time, host or absolute path, so the same inputs give the same bytes anywhere
(docs/architecture.md, section 3).
"""

import csv
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lib.errors import BadInput

SEAL = "artifact.json"
FORMAT = 1


class Damaged(BadInput):
    """An artifact whose bytes differ from its seal; the message names the repair."""


@dataclass(frozen=True)
class Artifact:
    """A verified artifact: `path` is its directory, `root` its root hash (sha256, hex)."""

    path: Path
    root: str
    stage: str
    params: dict[str, Any]
    seed: int | None
    files: tuple[dict[str, Any], ...]
    inputs: tuple[dict[str, str], ...]

    @property
    def reference(self) -> dict[str, str]:
        """What a downstream artifact records of this one."""
        return {"name": self.path.as_posix(), "root": self.root}

    def has(self, name: str) -> bool:
        """Whether there is a file `name`, or its parts. Of a dataset's files, those without rows are left out."""
        return any(entry["path"] == name for entry in self.files) or bool(self._numbered(name))

    def file(self, name: str) -> Path:
        """The path of the sealed file `name`. Raises `BadInput` if the artifact has no such file."""
        if all(entry["path"] != name for entry in self.files):
            held = ", ".join(entry["path"] for entry in self.files)
            raise BadInput(f"{self.path} has no file {name} (it has {held}); {_repair(self.path, self.stage)}")
        return self.path / name

    def parts(self, name: str) -> list[Path]:
        """The files, in order, of the table `name`: it alone, or where it was too large for one file, `stem-00000` and
        so on (`records.Parts`). Raises `BadInput` if the artifact has neither."""
        return self._numbered(name) or [self.file(name)]

    def rows(self, name: str) -> int:
        """How many rows the table `name` has; 0 if there is none."""
        files = {file.relative_to(self.path).as_posix() for file in self._numbered(name)} or {name}
        return sum(int(entry["rows"] or 0) for entry in self.files if entry["path"] in files)

    def _numbered(self, name: str) -> list[Path]:
        stem, _, suffix = name.rpartition(".")
        part = re.compile(rf"{re.escape(stem)}-\d{{5,}}\.{re.escape(suffix)}")
        found = [self.path / entry["path"] for entry in self.files if part.fullmatch(entry["path"])]
        return sorted(found, key=lambda file: int(file.stem.rpartition("-")[2]))


def open(path: str | Path) -> Artifact:
    """Verify every byte of the artifact at `path` and return it.

    Raises `Damaged`, naming the file, both hashes and the repairing command, if the seal is missing or unreadable, a
    file is missing, extra or changed, or an input in the workspace is not the one this artifact was made from.
    """
    path = Path(path)
    seal = _read_seal(path)
    compare_files(path, seal["files"], skip=SEAL, repair=_repair(path, seal["stage"]))
    artifact = _from_seal(path, seal)
    _check_inputs(artifact)
    return artifact


@contextmanager
def create(
    path: str | Path,
    *,
    stage: str,
    inputs: Sequence[Artifact] = (),
    params: dict[str, Any] | None = None,
    seed: int | None = None,
) -> Iterator[Path]:
    """An empty directory to fill; sealed when the block ends without an error.

    Whatever is at `path` is removed first, starting with its seal, so that no half-written directory ever has a seal.
    """
    path = Path(path)
    (path / SEAL).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    yield path
    seal(path, stage=stage, inputs=inputs, params=params, seed=seed)


def seal(
    path: Path,
    *,
    stage: str,
    inputs: Sequence[Artifact] = (),
    params: dict[str, Any] | None = None,
    seed: int | None = None,
) -> Artifact:
    """Hash every file under `path` and rename `artifact.json` into place.

    The `inputs` are compared with the disk again: a stage whose input changed while it ran must not seal its result.
    """
    for artifact in inputs:
        if _read_seal(artifact.path)["root"] != artifact.root:
            raise Damaged(f"{artifact.path} changed while {stage} ran; run `dvc repro {stage}` again")
    body = {
        "format": FORMAT,
        "stage": stage,
        "files": list_files(path, skip=SEAL),
        "inputs": [artifact.reference for artifact in inputs],
        "params": params or {},
        "seed": seed,
    }
    write_json(path / SEAL, {**body, "root": digest(body)})
    return _from_seal(path, read_json(path / SEAL))


def list_files(path: Path, skip: str) -> list[dict[str, Any]]:
    """Path, bytes, rows and sha256 of every file under `path` except `skip`, in path order; syncs them to disk."""
    entries = []
    for file in sorted(_walk(path, skip), key=lambda file: file.relative_to(path).as_posix()):
        _sync(file)
        entries.append(
            {
                "path": file.relative_to(path).as_posix(),
                "bytes": file.stat().st_size,
                "rows": _count_rows(file),
                "sha256": hash_file(file),
            }
        )
    return entries


def compare_files(path: Path, recorded: Iterable[dict[str, Any]], skip: str, repair: str = "") -> None:
    """Raise `Damaged` unless the files under `path` are the recorded ones, byte for byte."""
    advice = f"; {repair}" if repair else ""
    expected = {entry["path"]: entry for entry in recorded}
    present = {file.relative_to(path).as_posix() for file in _walk(path, skip)}
    if missing := sorted(expected.keys() - present):
        raise Damaged(f"{path / missing[0]} is missing, sealed as {expected[missing[0]]['sha256']}{advice}")
    if extra := sorted(present - expected.keys()):
        raise Damaged(f"{path / extra[0]} is not part of the sealed artifact: remove it, or{advice or ' seal it'}")
    for name, entry in expected.items():
        found = hash_file(path / name)
        if found != entry["sha256"]:
            raise Damaged(f"{path / name} was changed: sealed as {entry['sha256']}, found {found}{advice}")


def hash_file(path: Path) -> str:
    """The sha256 of a file's bytes, hex, streamed."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(value: Any) -> str:
    """The sha256, hex, of `value` as canonical JSON (sorted keys, no spaces, UTF-8)."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def canonical(value: Any) -> str:
    """`value` as canonical JSON: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def read_json(path: Path) -> Any:
    """The JSON value in `path`. Raises `ValueError` if it is not JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` by atomic rename, synced to disk, so that no reader sees half of it."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` by atomic rename, synced to disk. Leaves nothing behind on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        _sync(temporary)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def write_metrics(stage: str, metrics: dict[str, Any]) -> None:
    """Write metrics/STAGE.json, which `dvc metrics show` reads. No times, since they differ on every run."""
    write_json(Path("metrics") / f"{stage.replace('@', '-')}.json", metrics)


def write_series(stage: str, rows: Iterable[dict[str, Any]]) -> None:
    """Write plots/STAGE.csv, which `dvc plots show` reads: a row per dict, columns from the first."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(Path("plots") / f"{stage.replace('@', '-')}.csv", text.getvalue())


def find_all(workspace: Path = Path()) -> list[Path]:
    """The workspace's sealed directories, in path order."""
    roots = (workspace / "data", workspace / "models", workspace / "report")
    return sorted(found.parent for root in roots for found in root.rglob(SEAL))


def _read_seal(path: Path) -> dict[str, Any]:
    file = path / SEAL
    if not path.is_dir():
        raise Damaged(f"{path} is missing; get it with `dvc pull {path}` or make it with `dvc repro`")
    if not file.is_file():
        raise Damaged(f"{file} is missing: {path} was never finished; {_repair(path, None)}")
    try:
        seal = read_json(file)
        root = seal.pop("root")
        found = digest(seal)
    except (ValueError, KeyError, AttributeError) as error:
        raise Damaged(f"{file} is not a seal ({error}); {_repair(path, None)}") from None
    if root != found:
        raise Damaged(f"{file} was changed: root hash {root}, found {found}; {_repair(path, seal.get('stage'))}")
    if seal.get("format") != FORMAT:
        raise Damaged(f"{file} has format {seal.get('format')}, but this code reads {FORMAT}; {_repair(path, None)}")
    return {**seal, "root": root}


def _from_seal(path: Path, seal: dict[str, Any]) -> Artifact:
    return Artifact(
        path=path,
        root=seal["root"],
        stage=seal["stage"],
        params=seal["params"],
        seed=seal["seed"],
        files=tuple(seal["files"]),
        inputs=tuple(seal["inputs"]),
    )


def _check_inputs(artifact: Artifact) -> None:
    for recorded in artifact.inputs:
        if not (Path(recorded["name"]) / SEAL).is_file():
            continue  # not in this workspace, so nothing to compare with
        present = _read_seal(Path(recorded["name"]))
        if present["root"] != recorded["root"]:
            raise Damaged(
                f"{artifact.path} was made from {recorded['name']} {recorded['root']}, but the workspace holds "
                f"{present['root']}; run `dvc repro {artifact.stage}`"
            )


def _repair(path: Path, stage: str | None) -> str:
    # DVC trusts modification times and restores only what is missing.
    restore = f"`rm -r {path} && dvc checkout {path}` (or `dvc pull {path}`) restores it"
    rebuild = f"`dvc repro --force {stage}`" if stage else "`dvc repro`"
    return f"{restore}, {rebuild} makes it again"


def _walk(path: Path, skip: str) -> Iterator[Path]:
    for file in path.rglob("*"):
        if file.is_symlink() or not (file.is_dir() or file.is_file()):
            raise Damaged(f"{file} is neither a file nor a directory; remove it: an artifact contains nothing else")
        if file.is_file() and file != path / skip:
            yield file


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _count_rows(file: Path) -> int | None:
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        return int(pq.read_metadata(file).num_rows)
    if file.suffix == ".jsonl":
        with file.open("rb") as stream:
            return sum(1 for _ in stream)
    if file.suffix == ".npy":
        import numpy as np

        return int(np.load(file, mmap_mode="r").shape[0])
    return None
