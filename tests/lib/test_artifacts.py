"""The artifact guard: what is sealed, what is refused, and what a kill leaves behind."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from workspace import Workspace

from stages.lib import artifacts, records
from stages.lib.errors import BadInput


def make(path: str, text: str = "one\ntwo\n", inputs: tuple[artifacts.Artifact, ...] = ()) -> artifacts.Artifact:
    with artifacts.create(path, stage="collect", inputs=inputs, params={"k": 1}, seed=7) as out:
        (out / "rows.jsonl").write_text(text)
        (out / "inner").mkdir()
        (out / "inner" / "note.txt").write_text("kept")
    return artifacts.open(path)


def test_seal_lists_files_rows_inputs_params_and_seed(workspace: Workspace) -> None:
    first = make("data/functions")
    second = make("data/corpus", inputs=(first,))
    rows = {entry["path"]: entry["rows"] for entry in second.files}
    assert rows == {"inner/note.txt": None, "rows.jsonl": 2}
    assert second.inputs == ({"name": "data/functions", "root": first.root},)
    assert (second.params, second.seed, second.stage) == ({"k": 1}, 7, "collect")


def test_same_inputs_give_the_same_root_anywhere(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    here = make("data/functions").root
    elsewhere = workspace.path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert make("data/functions").root == here
    assert make("data/functions", text="one\ntoo\n").root != here


def test_parquet_rows_are_counted(workspace: Workspace) -> None:
    with artifacts.create("data/x", stage="collect") as out:
        records.write(
            out / "s.parquet", [{"task_id": "a", "sample": 0, "verdict": "passed", "detail": ""}], records.SCORE
        )
    assert artifacts.open("data/x").files[0]["rows"] == 1
    assert records.read(Path("data/x/s.parquet"), records.SCORE).to_pylist()[0]["verdict"] == "passed"


@pytest.mark.parametrize("name", ["rows.jsonl", "inner/note.txt", "artifact.json"])
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_flipped_byte_is_found_and_named(workspace: Workspace, name: str, place: str) -> None:
    make("data/functions")
    file = Path("data/functions") / name
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[0 if place == "first" else -2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # modification times prove nothing
    with pytest.raises(artifacts.Damaged, match=r"dvc (checkout|pull|repro)") as caught:
        artifacts.open("data/functions")
    assert str(file) in str(caught.value)


def test_missing_extra_and_unsealed_are_found(workspace: Workspace) -> None:
    make("data/functions")
    shutil.copytree("data/functions", "data/copy")
    Path("data/copy/extra.txt").write_text("?")
    with pytest.raises(artifacts.Damaged, match=r"data/copy/extra.txt is not part"):
        artifacts.open("data/copy")
    Path("data/functions/rows.jsonl").unlink()
    with pytest.raises(artifacts.Damaged, match=r"data/functions/rows.jsonl is missing"):
        artifacts.open("data/functions")
    Path("data/functions/artifact.json").unlink()
    with pytest.raises(artifacts.Damaged, match="never finished"):
        artifacts.open("data/functions")
    with pytest.raises(artifacts.Damaged, match="data/nowhere is missing"):
        artifacts.open("data/nowhere")


def test_a_symlink_is_no_part_of_an_artifact(workspace: Workspace) -> None:
    make("data/functions")
    Path("data/functions/link").symlink_to("/etc/hostname")
    with pytest.raises(artifacts.Damaged, match="neither a file nor a directory"):
        artifacts.open("data/functions")


def test_an_input_that_was_replaced_is_found(workspace: Workspace) -> None:
    first = make("data/functions")
    make("data/corpus", inputs=(first,))
    make("data/functions", text="other\n")
    with pytest.raises(artifacts.Damaged, match="made from data/functions"):
        artifacts.open("data/corpus")


def test_an_input_that_changes_under_a_stage_stops_the_seal(workspace: Workspace) -> None:
    first = make("data/functions")
    with (
        pytest.raises(artifacts.Damaged, match="changed while"),
        artifacts.create("data/corpus", stage="filter", inputs=[first]),
    ):
        make("data/functions", text="other\n")
    assert not Path("data/corpus/artifact.json").exists()


def test_a_failing_stage_seals_nothing_and_its_leavings_go(workspace: Workspace) -> None:
    with pytest.raises(RuntimeError), artifacts.create("data/functions", stage="collect") as out:
        (out / "half.txt").write_text("half")
        raise RuntimeError
    with pytest.raises(artifacts.Damaged, match="never finished"):
        artifacts.open("data/functions")
    assert {entry["path"] for entry in make("data/functions").files} == {"rows.jsonl", "inner/note.txt"}


def test_a_file_that_the_seal_does_not_list_is_refused_by_name(workspace: Workspace) -> None:
    with pytest.raises(BadInput, match=r"has no file other.txt \(it has inner/note.txt, rows.jsonl\)"):
        make("data/functions").file("other.txt")


def test_schema_mismatch_names_file_and_column(workspace: Workspace) -> None:
    pq.write_table(pa.table({"task_id": ["a"]}), "half.parquet")
    with pytest.raises(BadInput, match=r"half.parquet has no column 'sample'"):
        records.read(Path("half.parquet"), records.SCORE)
    Path("no.parquet").write_text("not parquet")
    with pytest.raises(BadInput, match=r"no.parquet is not a readable parquet file"):
        records.read(Path("no.parquet"), records.SCORE)


WRITER = """
import os
from stages.lib import artifacts
while True:
    with artifacts.create("data/functions", stage="collect") as out:
        for part in range(20):
            (out / f"{part}.bin").write_bytes(os.urandom(50_000))
"""


def test_a_killed_writer_never_leaves_a_seal_over_other_bytes(workspace: Workspace) -> None:
    for round_ in range(12):
        process = subprocess.Popen([sys.executable, "-c", WRITER], env=workspace.environment(), cwd=workspace.path)
        time.sleep(0.3 + random.Random(round_).random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if Path("data/functions/artifact.json").exists():
            assert len(artifacts.open("data/functions").files) == 20
