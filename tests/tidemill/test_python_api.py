"""`import tidemill`: what a notebook or a trainer gets of a dataset."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from instances import function, row
from workspace import REPOSITORY

import tidemill
from stages.lib import artifacts, dataset, records

SITE = next(path for path in sys.path if path.endswith("site-packages"))
CLIENT = """
import tidemill

rows = tidemill.open("data/dataset")
reveal_type(rows.trace(rows[0]["id"]))
rows.export("rows.jsonl", "no such form")
"""


def test_rows_are_a_list_a_table_and_a_dataset(home: Path) -> None:
    rows = tidemill.open("../workspace/data/dataset")
    expected = [row(number) for number in range(10)]
    assert len(rows) == 10 and list(rows) == expected and [rows[n] for n in range(10)] == expected
    assert rows[-1] == expected[-1] and "train 8, validation 2" in repr(rows)
    with pytest.raises(IndexError, match="row 10 of 10"):
        rows[10]
    parts = rows.to_datasets()
    assert parts["train"].to_list() == expected[:8] and parts["validation"].to_list() == expected[8:]
    frame = rows.to_pandas()
    assert frame["split"].tolist() == ["train"] * 8 + ["validation"] * 2 and frame["id"].tolist() == [
        row["id"] for row in expected
    ]


def test_a_row_is_traced_from_anywhere(home: Path) -> None:
    rows = tidemill.open(home / "data/dataset")
    links = rows.trace(rows[3]["id"][:20])
    assert [link.title.split()[0] for link in links] == ["data/dataset/train.parquet", "data/corpus/corpus.parquet"]
    assert links[-1].row["code"] == rows[3]["output"] and Path.cwd().name == "elsewhere"
    with pytest.raises(tidemill.BadInput, match="no row in this workspace has the id 'ffff'"):
        rows.trace("ffff")


def test_a_changed_byte_is_found_on_opening_and_after(home: Path) -> None:
    rows = tidemill.open(home / "data/dataset")
    assert rows.verify() == rows.root == artifacts.read_json(home / "data/dataset/artifact.json")["root"]
    file = home / "data/dataset/train.parquet"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    for look in (rows.verify, lambda: tidemill.open(home / "data/dataset")):
        with pytest.raises(
            tidemill.Damaged, match=r"data/dataset/train.parquet was changed.*dvc repro --force assemble"
        ):
            look()


def test_another_corpus_than_the_datasets_own_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as there:
        there.chdir(home)
        with artifacts.create("data/corpus", stage="filter") as out:
            records.write(out / "corpus.parquet", [function(1)], records.FUNCTION)
    with pytest.raises(tidemill.Damaged, match=r"data/dataset was made from data/corpus .*dvc repro assemble"):
        tidemill.open(home / "data/dataset")


def test_what_is_no_dataset_is_said(home: Path) -> None:
    with pytest.raises(tidemill.BadInput, match=r"no dataset: it has corpus.parquet; open data/dataset"):
        tidemill.open(home / "data/corpus")
    with pytest.raises(tidemill.Damaged, match=r"is missing; get it with `dvc pull"):
        tidemill.open(home / "data/nothing")


def test_a_rerun_gives_new_rows_and_never_a_cached_old_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tidemill.open(home / "data/dataset")
    assert len(old.to_datasets()["train"]) == 8
    monkeypatch.chdir(home)
    with artifacts.create("data/dataset", stage="assemble") as out:
        dataset.write_splits(out, {"train": [row(77)], "validation": []}, records.INSTANCE)
    assert tidemill.open("data/dataset").to_datasets()["train"]["id"][:] == [artifacts.digest(77)]
    with pytest.raises(tidemill.Damaged, match="was made anew since it was opened"):
        old.verify()


@pytest.mark.slow
def test_an_editable_install_is_importable_and_typed(home: Path, tmp_path: Path) -> None:
    """In an environment of its own, from a copy; the dependencies come from the tests' environment."""
    copy, env = tmp_path / "copy", tmp_path / "env"
    for folder in ("tidemill", "stages"):
        shutil.copytree(REPOSITORY / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / file, copy)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", env], check=True)
    site = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"PYTHONPATH": SITE}
    pip = [env / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable"]
    ran = subprocess.run([*pip, copy], env=site, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    (home / "client.py").write_text(CLIENT)
    program = "import tidemill; print(tidemill.__file__, len(tidemill.open('data/dataset')))"
    ran = subprocess.run(
        [env / "bin/python", "-c", program], cwd=home, env=site, capture_output=True, text=True, timeout=240
    )
    assert ran.stdout.split() == [str(copy / "tidemill/__init__.py"), "10"], ran.stderr
    check = [sys.executable, "-m", "mypy", "--python-executable", env / "bin/python", "--ignore-missing-imports"]
    ran = subprocess.run([*check, "client.py"], cwd=home, env=site, capture_output=True, text=True, timeout=400)
    assert 'Revealed type is "list[' in ran.stdout and "Link" in ran.stdout, ran.stdout + ran.stderr
    assert ran.stdout.count("error:") == 1 and 'incompatible type "Literal[' in ran.stdout, "the wrong form alone"


def test_the_notebook_runs_from_top_to_bottom(home: Path) -> None:
    notebook = json.loads((REPOSITORY / "docs/python.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 8 and not any(cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    (home / "docs").mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", "\n\n".join(cells)],
        cwd=home / "docs",
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_HOME": str(home / "cache")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    assert "data/corpus/corpus.parquet" in ran.stdout and "10 rows" in ran.stdout
