"""The benchmarks' data files: which there are, where they lie, how they are read, and what of them is compared."""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stages.lib.errors import BadInput

FILE = Path(__file__).with_name("files.yaml")


@dataclass(frozen=True)
class Published:
    """A benchmark's data in one language; `pattern` is relative to the folder, or to the package's."""

    name: str
    pattern: str
    package: str  # "" where the file lies in the data folder
    compare: tuple[str, ...]

    def find(self, folder: Path | None) -> list[Path]:
        """The files that are here. Raises `BadInput` if its package is not installed."""
        if self.package:
            return [in_package(self.package, self.pattern)]
        return sorted(folder.glob(self.pattern)) if folder else []


def entry(name: str) -> dict[str, Any]:
    """What files.yaml says of the data `name`. Raises `BadInput`, naming those that there are, for another."""
    known = _read()
    if name not in known:
        raise BadInput(f"{FILE} has no entry {name!r}, only {', '.join(known)}; add the benchmark's data there")
    return dict(known[name])


def every() -> list[Published]:
    """All published data, in the order of files.yaml, a benchmark in several languages once for each."""
    found = []
    for spec in _read().values():
        package, compare = spec.get("package", ""), tuple(spec["compare"])
        if "languages" in spec:
            for one in spec["languages"].values():
                found.append(Published(f"{spec['name']} ({one['name']})", one["file"], package, compare))
        else:
            found.append(Published(spec["name"], spec.get("file") or spec["files"], package, compare))
    return found


def rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet or JSON lines file, gzipped or not. Raises `BadInput` if it cannot be read."""
    try:
        if file.suffix == ".parquet":
            import pyarrow.parquet as pq

            yield from pq.read_table(file).to_pylist()
            return
        with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.strip())
    except (OSError, EOFError, zlib.error, ValueError) as error:  # pyarrow's own are ValueErrors
        raise BadInput(f"{file} cannot be read: {error}") from None


def in_package(package: str, file: str) -> Path:
    """The path of `file` in an installed package. Raises `BadInput` if it is not installed."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise BadInput(f"the package {package} is not installed; run `make setup`")
    return Path(spec.origin).parent / file


def _read() -> dict[str, dict[str, Any]]:
    from ruamel.yaml import YAML

    return dict(YAML(typ="safe", pure=True).load(FILE))
