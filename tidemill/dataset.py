"""A sealed dataset of a workspace: its rows, their lineage, and the proof that no byte has changed."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib import artifacts
from stages.lib.errors import BadInput
from tidemill import forms, lineage
from tidemill.forms import FormName

if TYPE_CHECKING:
    import datasets
    import pandas

SPLITS = ("train", "validation")
Row = dict[str, Any]


def open(path: str | Path = "data/dataset") -> "Dataset":
    """The dataset in the folder `path`: data/dataset, or data/evolved/ROUND.

    Raises `Damaged`, naming the file and the command that repairs it, if a byte differs from what was sealed, and
    `BadInput` if the folder holds no dataset.
    """
    return Dataset(Path(path))


class Dataset:
    """A dataset, in order: the training rows, then those for validation.

    A row is a dict with `id`, `task`, `language`, `instruction`, `input`, `output` and its lineage; `len`, indexing and
    iteration work as on a list.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.workspace = _workspace(self.path)
        self._artifact = self._open()
        self.tables: Mapping[str, pa.Table] = {
            name: pq.read_table(self.path / f"{name}.parquet")
            for name in SPLITS
            if self._artifact.has(f"{name}.parquet")
        }
        if not self.tables:
            held = ", ".join(entry["path"] for entry in self._artifact.files)
            raise BadInput(f"{path} is no dataset: it has {held}; open data/dataset or data/evolved/ROUND")

    def __len__(self) -> int:
        return sum(table.num_rows for table in self.tables.values())

    def __iter__(self) -> Iterator[Row]:
        for table in self.tables.values():
            yield from table.to_pylist()

    def __getitem__(self, number: int) -> Row:
        if not -len(self) <= number < len(self):
            raise IndexError(f"row {number} of {len(self)}")
        number %= len(self)
        for table in self.tables.values():
            if number < table.num_rows:
                return dict(table.slice(number, 1).to_pylist()[0])
            number -= table.num_rows
        raise AssertionError

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {table.num_rows}" for name, table in self.tables.items())
        return f"<tidemill.Dataset {self.path}: {counts}; root {self.root[:16]}>"

    @property
    def root(self) -> str:
        """The sha256, hex, over all files, parameters and inputs: the same for everyone with the same dataset."""
        return self._artifact.root

    def to_datasets(self, form: FormName | None = None) -> "datasets.DatasetDict":
        """The splits for `datasets`, TRL and the like, as they are or in a `form` of one line a row.

        Nothing is cached, so these are this folder's rows.
        """
        import datasets

        if form is None:
            return datasets.DatasetDict({name: datasets.Dataset(table) for name, table in self.tables.items()})
        lines = forms.made(form, self._pairs(), str(self.path))
        parts = {name: [line for line in lines if line["split"] == name] for name in self.tables}
        return datasets.DatasetDict({name: datasets.Dataset.from_list(part) for name, part in parts.items() if part})

    def to_pandas(self) -> "pandas.DataFrame":
        """All rows, with the column `split`."""
        import pandas

        frames = [table.to_pandas().assign(split=name) for name, table in self.tables.items()]
        return pandas.concat(frames, ignore_index=True)

    def trace(self, row_id: str) -> list[lineage.Link]:
        """Every link from the row `row_id` (or an unambiguous start of it) back to the function that it was made from:
        verdict, requests, responses, pick, raw code.

        Each artifact on the way is verified. Raises `BadInput` if no row or several have the id. Changes the process's
        working directory for the while, so don't call it from several threads.
        """
        with contextlib.chdir(self.workspace):
            return lineage.chain(row_id)

    def verify(self) -> str:
        """Hash every byte again and return the root hash. Raises `Damaged` if anything is not as it was opened."""
        found = self._open().root
        if found != self.root:
            raise artifacts.Damaged(f"{self.path} was made anew since it was opened: root {self.root}, now {found}")
        return found

    def export(self, file: str | Path, form: FormName = "messages") -> int:
        """Write all rows to `file` as JSON lines in `form`, one of `tidemill.FORMS`; in "reward" those with tests, in
        "harbor" a folder of them. Returns how many."""
        return forms.write(Path(file), form, self._pairs(), str(self.path))

    def _pairs(self) -> Iterator[tuple[str, Row]]:
        """Each row with its split."""
        return ((name, row) for name, table in self.tables.items() for row in table.to_pylist())

    def _open(self) -> artifacts.Artifact:
        with contextlib.chdir(self.workspace):
            return artifacts.open(self.path.relative_to(self.workspace))


def _workspace(path: Path) -> Path:
    """The folder whose `data` the dataset is part of; its own parent for one that was fetched alone."""
    return next((parent for parent in path.parents if (parent / "dvc.yaml").is_file()), path.parent)
