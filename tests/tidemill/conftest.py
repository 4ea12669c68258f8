"""A workspace with a dataset, for a program that stands elsewhere."""

from pathlib import Path

import pytest
from instances import function, row

from stages.lib import artifacts, dataset, records


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a corpus, and a dataset of 10 rows, 2 of them for validation; we are elsewhere."""
    home = tmp_path / "workspace"
    home.mkdir()
    monkeypatch.chdir(home)
    Path("dvc.yaml").write_text("stages: {}")
    with artifacts.create("data/corpus", stage="filter") as out:
        records.write(out / "corpus.parquet", [function(number) for number in range(10)], records.FUNCTION)
    rows = [row(number) for number in range(10)]
    with artifacts.create("data/dataset", stage="assemble", inputs=[artifacts.open("data/corpus")]) as out:
        dataset.write_splits(out, {"train": rows[:8], "validation": rows[8:]}, records.INSTANCE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return home
