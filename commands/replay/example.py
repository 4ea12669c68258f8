"""A published run: examples/NAME."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from stages.lib import params
from stages.lib.errors import BadInput

FOLDER = Path("examples")


class Run(params.Section):
    """examples/NAME/run.yaml."""

    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    target: str  # the stage to reach
    roots: dict[str, str]  # the root hash of each artifact, in the order in which they are made


@dataclass(frozen=True)
class Example:
    """A run and the folder that it is published in."""

    name: str
    folder: Path
    run: Run

    @property
    def workspace(self) -> Path:
        """The files to lay over the commit."""
        return self.folder / "workspace"

    @property
    def journal(self) -> Path:
        """The sealed answers."""
        return self.folder / "journal"


def read(name: str) -> Example:
    """The example `name`. Raises `BadInput` for an unknown one, and for a run.yaml that is none."""
    folder = FOLDER / name
    file = folder / "run.yaml"
    if not file.is_file():
        raise BadInput(f"there is no {file}; choose one of {known()}")
    return Example(name, folder, params.parse(params.read(file), Run, file))


def write(folder: Path, run: Run) -> None:
    """Write examples/NAME/run.yaml."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 200
    yaml.dump(run.model_dump(), folder / "run.yaml")


def known() -> str:
    """The names of all examples, on one line."""
    return ", ".join(sorted(file.parent.name for file in FOLDER.glob("*/run.yaml"))) or "none"
