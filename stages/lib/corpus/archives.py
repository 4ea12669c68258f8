"""The files of a folder, a table or a package archive: wheels, zips, tarballs and Debian packages."""

import io
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath

from stages.lib.corpus import tables
from stages.lib.errors import BadInput

# An archive inside an archive that holds source code (the JDK's, in Debian's package of it).
_INNER = ("src.zip",)


MOST_BYTES = 1_000_000  # a larger file is data, or a program wrote it: of it so much is read, and one byte
Wanted = Callable[[str], bool]


def _all(_path: str) -> bool:
    return True


def read_tree(path: Path, wanted: Wanted = _all) -> Iterator[tuple[str, bytes]]:
    """`read_folder` of a folder, or the same files of an archive of it, or of a table with a row a file.

    Raises `BadInput` if there is neither at `path`.
    """
    if path.is_dir():
        yield from read_folder(path, wanted)
    elif path.is_file() and tables.is_table(path):
        yield from (
            (name, data) for name, data in tables.read(path) if wanted(name) and not _is_hidden(PurePosixPath(name))
        )
    elif path.is_file():
        yield from ((name, data) for name, data in read_archive(path, wanted) if not _is_hidden(PurePosixPath(name)))
    else:
        raise BadInput(f"source {path} does not exist; correct collect.sources in params.yaml")


def read_folder(folder: Path, wanted: Wanted = _all) -> Iterator[tuple[str, bytes]]:
    """Path inside `folder` and bytes of every regular file whose path is `wanted`, in path order; hidden files and
    folders are left out."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if wanted(inside.as_posix()) and not _is_hidden(inside) and path.is_file() and not path.is_symlink():
            with path.open("rb") as stream:
                yield inside.as_posix(), stream.read(MOST_BYTES + 1)


def read_archive(archive: Path, wanted: Wanted = _all) -> Iterator[tuple[str, bytes]]:
    """Path inside `archive` and bytes of every regular file in it whose path is `wanted`.

    Raises `BadInput` if it is damaged or of a kind that we do not read.
    """
    try:
        if archive.suffix in (".whl", ".zip"):
            yield from _read_zip(archive, wanted)
        elif archive.suffix == ".deb":
            yield from _read_deb(archive, wanted)
        elif archive.name.endswith((".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")):
            with tarfile.open(archive) as tar:
                yield from _read_tar(tar, wanted)
        else:
            raise BadInput(
                f"{archive} is no folder, nor one of .whl, .zip, .tar.gz, .tgz, .tar.xz, .tar.bz2, .deb, .parquet, "
                ".jsonl, .jsonl.gz"
            )
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BadInput(f"{archive} is damaged ({error}); delete it and run collect again") from None


def _is_hidden(path: PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _read_zip(archive: Path | io.BytesIO, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as files:
        for entry in files.infolist():
            if not entry.is_dir() and wanted(entry.filename):
                with files.open(entry) as stream:
                    yield entry.filename, stream.read(MOST_BYTES + 1)


def _read_tar(tar: tarfile.TarFile, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        name = member.name.removeprefix("./")
        inner = name.endswith(_INNER)
        stream = tar.extractfile(member) if member.isfile() and (inner or wanted(name)) else None
        if stream is None:
            continue
        if inner:
            yield from ((f"{name}/{one}", data) for one, data in _read_zip(io.BytesIO(stream.read()), wanted))
        else:
            yield name, stream.read(MOST_BYTES + 1)


def _read_deb(archive: Path, wanted: Wanted) -> Iterator[tuple[str, bytes]]:
    with _filesystem(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        yield from _read_tar(tar, wanted)


@contextmanager
def _filesystem(archive: Path) -> Iterator[io.BufferedReader]:
    """The package's files as a tar stream, unpacked by dpkg-deb, which knows every compression of its format."""
    process = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE)
    assert isinstance(process.stdout, io.BufferedReader)
    try:
        yield process.stdout
    finally:
        process.stdout.read()
        process.stdout.close()
        if process.wait():
            raise BadInput(f"{archive} is damaged (dpkg-deb says so above); delete it and run collect again")
