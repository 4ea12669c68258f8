"""collect and filter as streams: the same bytes in any pieces, by any number of processes and shards, after kills."""

import gzip
import json
import os
import random
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import corpora
import pyarrow.parquet as pq
import pytest
from workspace import Workspace

from stages import collect, filter
from stages.lib import artifacts, checkpoint, records, shards
from stages.lib.corpus import intake, screening
from stages.lib.corpus.functions import function_id
from stages.lib.errors import BadInput
from stages.lib.report import tables

KILLS = 20 if os.environ.get("TIDEMILL_FULL") == "1" else 5
STAGES: list[tuple[Any, str]] = [(collect, "data/functions"), (filter, "data/corpus")]


def published(rows: int) -> None:
    """CodeSearchNet's files with real functions: two of lines, one parquet table, a tenth of the rows twice."""
    functions = corpora.functions(rows)
    draw = random.Random(3)
    functions += draw.sample(functions, rows // 10)
    draw.shuffle(functions)
    names = {"source": "repo", "path": "path", "name": "func_name", "code": "code", "docstring": "docstring"}
    said = [{new: row[old] for old, new in names.items()} | {"language": "python"} for row in functions]
    Path("csn").mkdir()
    for number, part in enumerate((said[0::3], said[1::3])):
        lines = "".join(json.dumps(row) + "\n" for row in part)
        Path(f"csn/{number}.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    pq.write_table(records.pa.Table.from_pylist(said[2::3]), "csn/2.parquet")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes pieces small, and runs everything in this process."""

    def cut(piece: int, part: int) -> None:
        monkeypatch.setattr(intake, "PIECE_ROWS", piece)
        monkeypatch.setattr(intake, "PIECE_BYTES", 300 * piece)
        monkeypatch.setattr(screening, "ROWS_AT_ONCE", piece)
        monkeypatch.setattr(records, "PART_ROWS", part)

    return cut


@pytest.fixture
def street(workspace: Workspace) -> Workspace:
    """A workspace whose sources are published files, and a folder without a limit."""
    published(100)
    Path("tree").mkdir()
    for number, row in enumerate(corpora.functions(12)):
        Path(f"tree/f{number:02d}.py").write_text(row["code"] + "\n")
    Path("tree/bad.py").write_bytes(b"name = '\xff'\n")
    workspace.set("filter.self_contained", False)
    sources = [{"kind": "codesearchnet", "path": "csn"}, {"kind": "tree", "name": "tree", "path": "tree"}]
    workspace.set("collect.sources", sources)
    workspace.set("collect.max_bad_share", 0.2)
    return workspace


def both() -> dict[str, Any]:
    """Runs the two stages here; their roots, and metrics."""
    for stage, _ in STAGES:
        stage.main()
    roots = {path: artifacts.open(path).root for _, path in STAGES}
    return roots | {name: Path(f"metrics/{name}.json").read_text() for name in ("collect", "filter")}


def test_the_size_of_pieces_changes_nothing(street: Workspace, small: Callable[..., None]) -> None:
    whole = both()
    assert json.loads(whole["filter"])["dropped"]["exact_duplicate"] > 3
    for piece in (17, 64):
        small(piece, 131_072)
        assert both() == whole
    assert not list(Path(".tidemill/checkpoints").glob("*/*")), "saves of a sealed stage are removed"


def test_a_table_that_is_too_large_for_one_file_lies_in_parts(street: Workspace, small: Callable[..., None]) -> None:
    both()
    whole = {name: pq.read_table(f"{path}/{name}.parquet") for path, name in TABLES}
    small(30, 32)
    metrics = both()["filter"]
    for path, name in TABLES:
        artifact = artifacts.open(path)
        files = artifact.parts(f"{name}.parquet")
        assert [file.name for file in files] == [f"{name}-{number:05d}.parquet" for number in range(len(files))]
        assert [pq.read_metadata(file).num_rows for file in files[:-1]] == [32] * (len(files) - 1)
        assert artifact.has(f"{name}.parquet") and artifact.rows(f"{name}.parquet") == len(whole[name])
        schema = screening.DROPPED if name == "dropped" else records.FUNCTION
        assert records.read(files, schema).to_pylist() == whole[name].to_pylist()
        assert tables.column(artifact, f"{name}.parquet", "id") == whole[name]["id"].to_pylist()
    small(30, 50)
    assert both()["filter"] == metrics


TABLES = [("data/functions", "functions"), ("data/corpus", "corpus"), ("data/corpus", "dropped")]


@pytest.mark.parametrize("count", [1, 3, 16])
def test_shards_give_the_same_roots(
    street: Workspace, small: Callable[..., None], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    small(8, 131_072)
    whole = both()
    for stage, path in STAGES:
        (Path(path) / artifacts.SEAL).unlink()
        for index in reversed(range(count)):
            with monkeypatch.context() as inside:
                inside.setenv(shards.VARIABLE, f"{index}/{count}")
                stage.main()
            assert not (Path(path) / artifacts.SEAL).exists(), "a shard seals nothing"
        made = {save: save.stat().st_mtime_ns for save in Path(".tidemill/checkpoints").rglob("checkpoint.json")}
        assert len(made) > 10
        with monkeypatch.context() as inside:
            inside.setattr(checkpoint, "discard", lambda where: None)
            stage.main()
        assert {save: save.stat().st_mtime_ns for save in made} == made, "no save is made twice"
        checkpoint.discard(checkpoint.ROOT)
    assert {path: artifacts.open(path).root for _, path in STAGES}.items() <= whole.items()


def test_a_save_of_other_sources_is_not_taken_up(street: Workspace, small: Callable[..., None]) -> None:
    small(16, 131_072)
    with pytest.raises(BadInput, match="unreadable"):
        street.set("collect.max_bad_share", 0.0)
        collect.main()
    street.set("collect.max_bad_share", 0.2)
    for file in Path("tree").iterdir():
        file.write_text("def renamed(rows):\n    found = len(rows)\n    return found\n")
    collect.main()
    rows = pq.read_table("data/functions/functions.parquet").to_pylist()
    assert {row["name"] for row in rows if row["source"] == "tree"} == {"renamed"}


def test_whatever_one_function_raises_sets_it_aside(street: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.lib.corpus import codesearchnet, names

    honest = names.used_imports

    def fails(imports: Any, code: str, language: str) -> str:
        if "len(" in code:
            raise MemoryError("too deep")
        return honest(imports, code, language)

    monkeypatch.setattr(names, "used_imports", fails)
    monkeypatch.setattr(codesearchnet, "used_imports", fails)
    street.set("collect.max_bad_share", 0.9)
    collect.main()
    aside = [json.loads(line) for line in Path("data/functions/set_aside.jsonl").read_text().splitlines()]
    reasons = json.loads(Path("metrics/collect.json").read_text())["set_aside_by_reason"]
    assert {entry["source"] for entry in aside if "MemoryError('too deep')" in entry["reason"]} == {
        "codesearchnet",
        "tree",
    }
    assert reasons["function cannot be read"] == len(aside) - 1 > 1


def test_a_row_that_a_rule_fails_on_is_dropped_and_counted(street: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.lib.corpus import rules

    honest = rules.operations

    def fails(code: str, language: str, enough: int) -> int:
        if "len(" in code:
            raise RecursionError("too deep")
        return honest(code, language, enough)

    collect.main()
    monkeypatch.setattr(rules, "operations", fails)
    filter.main()
    dropped = pq.read_table("data/corpus/dropped.parquet").to_pylist()
    failed = [row for row in dropped if row["reason"] == "the rule failed: RecursionError('too deep')"]
    assert failed and {row["rule"] for row in failed} == {"trivial"}


# Processes and kills, of the stage as dvc runs it


def many(rows: int) -> None:
    """data/functions with so many rows: most are too short for the filter, a few real ones lie between."""
    real = corpora.functions(60, 60, 700)
    codes = [f"x = {number}" for number in range(rows)]
    made = [
        dict.fromkeys(("name", "docstring", "source", "path", "license", "imports"), "")
        | {"id": function_id("Python", code), "language": "Python", "code": code, "line": 1}
        for code in codes
    ]
    for number, row in enumerate(real * 3):
        made[number * (rows // 180)] = row
    with artifacts.create("data/functions", stage="collect") as out:
        records.write(out / "functions.parquet", made, records.FUNCTION)


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(workspace: Workspace) -> None:
    many(70_000)
    workspace.set("filter.self_contained", False)
    roots = set()
    for workers in (1, 2, 3):
        workspace.set("filter.workers", workers)
        ran = workspace.run("filter")
        assert ran.returncode == 0, ran.stderr
        roots.add(artifacts.open("data/corpus").root)
    assert len(roots) == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("line", ["screened slice-000001", "compared slice 2 of 5"])
def test_a_stopped_filter_goes_on_where_it_was(workspace: Workspace, line: str, how: signal.Signals) -> None:
    many(40_000)
    workspace.set("filter.self_contained", False)
    assert workspace.run("filter").returncode == 0
    whole = artifacts.open("data/corpus").root
    status = workspace.stop("filter", line, how)
    if status == 0:
        pytest.skip("it ended before the signal arrived")
    assert status == (75 if how == signal.SIGTERM else -signal.SIGKILL)
    assert not Path("data/corpus").exists() or artifacts.open("data/corpus").root == whole
    again = workspace.run("filter")
    assert again.returncode == 0, again.stderr
    if line.startswith("screened"):  # a slice whose duplicates were saved is told of again
        assert line not in again.stderr, "what was saved is not made again"
    assert artifacts.open("data/corpus").root == whole


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_collect_goes_on_where_it_was(workspace: Workspace, how: signal.Signals) -> None:
    published(12_000)
    workspace.set("collect.sources", [{"kind": "codesearchnet", "path": "csn"}])
    assert workspace.run("collect").returncode == 0
    whole = artifacts.open("data/functions").root
    assert workspace.stop("collect", "read piece-0000", how) == (75 if how == signal.SIGTERM else -signal.SIGKILL)
    saved = len(list(Path(".tidemill/checkpoints/collect").rglob("checkpoint.json")))
    assert saved >= 1
    again = workspace.run("collect")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("read piece-0000") == 4 - saved
    assert artifacts.open("data/functions").root == whole


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["collect", "filter"])
def test_killed_at_moments_over_its_length_it_makes_the_same(workspace: Workspace, stage: str) -> None:
    """kill -9, each time followed by a run to the end: one root."""
    published(20_000)
    workspace.set("collect.sources", [{"kind": "codesearchnet", "path": "csn"}])
    workspace.set("filter.self_contained", False)
    path = {"collect": "data/functions", "filter": "data/corpus"}[stage]
    for one in ("collect", stage):
        assert workspace.run(one).returncode == 0
    whole, taken = artifacts.open(path).root, json.loads(Path(f".tidemill/run/{stage}.json").read_text())["seconds"]
    killed = 0
    for moment in range(KILLS):
        process = subprocess.Popen(
            workspace.command(stage), env=workspace.environment(), stderr=subprocess.DEVNULL, start_new_session=True
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(taken * moment / KILLS)
        killed += process.poll() is None  # on a machine that has become quicker the last ones may come too late
        process.kill()
        process.wait()
        assert workspace.run(stage).returncode == 0
        assert artifacts.open(path).root == whole, f"killed after {taken * moment / KILLS:.1f} s"
    assert killed > KILLS / 2


# Bad input


def test_a_corpus_cut_in_the_middle_is_named(street: Workspace) -> None:
    both()
    file = Path("data/functions/functions.parquet")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BadInput, match=r"data/functions/functions\.parquet was changed"):
        filter.main()
    with pytest.raises(BadInput, match=r"functions\.parquet is not a readable parquet file"):
        list(records.batches([file], records.FUNCTION, 10))
    with pytest.raises(BadInput, match=r"functions\.parquet is not a readable parquet file"):
        records.read([file], records.FUNCTION)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    pq.write_table(records.pa.table({"id": ["1"]}), file)
    for read in (
        lambda: list(records.batches([file], records.FUNCTION, 9)),
        lambda: records.read(file, records.FUNCTION),
    ):
        with pytest.raises(BadInput, match=r"rows\.parquet has no column 'language' \(it has id\)"):
            read()


def test_of_a_huge_file_only_what_tells_that_it_is_one_is_read(workspace: Workspace) -> None:
    Path("tree").mkdir()
    Path("tree/good.py").write_text("def good(rows):\n    found = len(rows)\n    return found\n")
    with Path("tree/huge.py").open("wb") as out:
        out.truncate(5_000_000_000)  # a hole: no disk holds it, and no memory should
    workspace.set("collect.sources", [{"kind": "tree", "name": "tree", "path": "tree"}])
    collect.main()
    assert json.loads(Path("metrics/collect.json").read_text())["skipped_files"] == {"larger than 1 MB": 1}
