"""One of the two runs: where its report is found, and what the page holds."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.lib import artifacts
from stages.lib.errors import BadInput
from stages.lib.records import Row
from stages.lib.report import packing

PAGE, SEAL = "report/index.html", f"report/{artifacts.SEAL}"


@dataclass(frozen=True)
class Side:
    """`label` is A or B, `name` what the reader called it; `data` is the page's (stages/lib/report/comparable.py)."""

    label: str
    name: str
    data: dict[str, Any]

    @property
    def rows(self) -> dict[str, Row]:
        """The page's rows, by id."""
        return {row["id"]: row for row in self.data["rows"]}

    @property
    def figures(self) -> dict[str, Row]:
        """The figures, by name."""
        return {figure["name"]: figure for figure in self.data["figures"]}


def read(label: str, name: str) -> Side:
    """The run in the folder `name`, of the page `name`, or at the git revision `name`.

    Raises `BadInput` if there is none, if its page is from an older version, or if it differs from its seal.
    """
    if not name:
        raise BadInput(
            f"{label} is missing: make compare-runs A=… B=…, each a folder, a report's page or a git revision"
        )
    path = Path(name).expanduser()
    if path.is_file():
        return Side(label, name, packing.read(path))
    if path.is_dir():
        return Side(label, name, _from_folder(path))
    return Side(label, name, _from_revision(name))


def _from_folder(folder: Path) -> dict[str, Any]:
    page = next((one for one in (folder / PAGE, folder / "index.html") if one.is_file()), None)
    if page is None:
        raise BadInput(f"{folder} has no {PAGE}; run `make` or `make report` there")
    seal = page.with_name(artifacts.SEAL)
    if seal.is_file():
        _check(page.read_bytes(), seal.read_text(encoding="utf-8"), str(page))
    return packing.read(page)


def _from_revision(name: str) -> dict[str, Any]:
    from executors.tracking import revision

    with revision.files(name) as files:
        try:
            if not files.exists(PAGE):
                raise FileNotFoundError
            html, seal = files.text(PAGE), files.text(SEAL)
        except FileNotFoundError:
            raise BadInput(
                f"{PAGE} of {name} is neither in DVC's cache nor on the remote; push it from where it ran "
                f"(`make push`), or check out {name} and run `make`"
            ) from None
    _check(html.encode(), seal, f"{PAGE} of {name}")
    return packing.unpack(html, f"{PAGE} of {name}")


def _check(page: bytes, seal: str, where: str) -> None:
    sealed = next(entry["sha256"] for entry in json.loads(seal)["files"] if entry["path"] == "index.html")
    if hashlib.sha256(page).hexdigest() != sealed:
        raise BadInput(f"{where} was changed after it was sealed; run `make report` again")
