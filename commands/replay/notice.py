"""The licences under which a dataset's rows may be passed on, with the notices that they want kept."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter

from stages.lib import params, records
from stages.lib.corpus import archives, reader
from stages.lib.corpus.sources import Package, Source
from stages.lib.records import Row
from stages.lib.report.rendering import plural

_TEXT = re.compile(r"(?i)(?:^|/)(?:licen[cs]e|copying|notice|copyright)(?:[-.]\w+)*$")
_CODE = (".py", ".js", ".html", ".go", ".java", ".h")
_RULE = "=" * 80


@dataclass
class Origin:
    """A source of rows: its licence, how many rows, and the licence texts that it carries, by their path."""

    name: str
    license: str
    rows: int
    texts: dict[str, str] = field(default_factory=dict)


def write(to: Path, splits: list[Path]) -> None:
    """Write the notice `to`, of the dataset's files `splits`.

    Raises `BadInput` where a package's archive can't be had.
    """
    rows = [row for split in splits if split.is_file() for row in records.read_lines(split)]
    to.write_text("\n".join(_lines(_origins(rows))), encoding="utf-8")


def _origins(rows: list[Row]) -> list[Origin]:
    sources = TypeAdapter(list[Source]).validate_python(params.merged()["collect"]["sources"])
    packages = {one.label: one for one in sources if isinstance(one, Package)}
    found = []
    for (name, license), count in sorted(Counter((row["source"], row["license"]) for row in rows).items()):
        origin = Origin(name, license, count)
        if name in packages:
            archive = reader.fetch(packages[name])
            origin.texts = dict(_texts(archive, [row["path"] for row in rows if row["source"] == name]))
        found.append(origin)
    return found


def _texts(archive: Path, paths: list[str]) -> Iterator[tuple[str, str]]:
    """The licence texts that lie above the files at `paths`, and in a wheel's metadata."""
    above = {folder.as_posix() for path in paths for folder in PurePosixPath(path).parents}

    def is_wanted(path: str) -> bool:
        covers = PurePosixPath(path).parent.as_posix() in above or ".dist-info/" in path
        return covers and bool(_TEXT.search(path)) and not path.endswith(_CODE)

    for path, data in archives.read_archive(archive, is_wanted):
        yield path, data.decode("utf-8", "replace").strip()


def _lines(origins: list[Origin]) -> Iterator[str]:
    numbers: dict[str, int] = {}  # of each text; many packages carry the same one
    yield "The rows of this dataset were made from functions of these packages. Each row names its package and"
    yield "its licence. The texts below are those that the packages carry.\n"
    for origin in origins:
        texts = [numbers.setdefault(text, len(numbers) + 1) for text in dict.fromkeys(origin.texts.values())]
        carried = f"text {', '.join(map(str, texts))}" if texts else "it carries no text"
        yield f"{origin.name}: {origin.license or 'unknown'} ({carried}); {plural(origin.rows, 'row')}"
    for text, number in numbers.items():
        named = [f"{one.name}, {path}" for one in origins for path, held in one.texts.items() if held == text]
        yield "\n".join(["", _RULE, f"Text {number}: {'; '.join(named)}", _RULE, "", text])
