"""The files of a folder, a table or a package archive: wheels, zips, tarballs and Debian packages."""

import io
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath

from stages.lib.corpus import tables
from stages.lib.errors import BadInput

# An archive inside an archive that holds source code (the JDK's, in Debian's package of it).
_INNER = ("src.zip",)


def read_tree(path: Path) -> Iterator[tuple[str, bytes]]:
    """`read_folder` of a folder, or the same files of an archive of it, or of a table with a row a file.

    Raises `BadInput` if there is neither at `path`.
    """
    if path.is_dir():
        yield from read_folder(path)
    elif path.is_file() and tables.is_table(path):
        yield from ((name, data) for name, data in tables.read(path) if not _is_hidden(PurePosixPath(name)))
    elif path.is_file():
        yield from ((name, data) for name, data in read_archive(path) if not _is_hidden(PurePosixPath(name)))
    else:
        raise BadInput(f"source {path} does not exist; correct collect.sources in params.yaml")


def read_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Path inside `folder` and bytes of every regular file, in path order; hidden files and folders are left out."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and not _is_hidden(inside):
            yield inside.as_posix(), path.read_bytes()


def read_archive(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Path inside `archive` and bytes of every regular file in it.

    Raises `BadInput` if it is damaged or of a kind that we do not read.
    """
    try:
        if archive.suffix in (".whl", ".zip"):
            yield from _read_zip(archive)
        elif archive.suffix == ".deb":
            yield from _read_deb(archive)
        elif archive.name.endswith((".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")):
            with tarfile.open(archive) as tar:
                yield from _read_tar(tar)
        else:
            raise BadInput(
                f"{archive} is no folder, nor one of .whl, .zip, .tar.gz, .tgz, .tar.xz, .tar.bz2, .deb, .parquet, "
                ".jsonl, .jsonl.gz"
            )
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BadInput(f"{archive} is damaged ({error}); delete it and run collect again") from None


def _is_hidden(path: PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _read_zip(archive: Path | io.BytesIO) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as files:
        for entry in files.infolist():
            if not entry.is_dir():
                yield entry.filename, files.read(entry)


def _read_tar(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        stream = tar.extractfile(member) if member.isfile() else None
        if stream is None:
            continue
        name = member.name.removeprefix("./")
        if name.endswith(_INNER):
            yield from ((f"{name}/{inner}", data) for inner, data in _read_zip(io.BytesIO(stream.read())))
        else:
            yield name, stream.read()


def _read_deb(archive: Path) -> Iterator[tuple[str, bytes]]:
    with _filesystem(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        yield from _read_tar(tar)


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
