"""collect from what others made: tables of any columns, commits, datasets of a hub that this machine serves."""

import functools
import gzip
import http.server
import itertools
import json
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import corpora
import hubserver
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from workspace import Workspace

from stages import collect
from stages.lib import artifacts
from stages.lib.corpus import columns, intake
from stages.lib.errors import BadInput

COLUMNS = {"code": "content", "path": "where", "license": "licenses", "repository": "repo", "language": "lang"}
GOOD = "def {}(rows):\n    found = len(rows)\n    return found\n"


@functools.cache
def functions() -> list[str]:
    return [row["code"] for row in corpora.functions(100)]


def files(count: int = 12) -> list[dict[str, Any]]:
    """Rows as The Stack has them: real functions, two a file."""
    codes = functions()
    return [
        {
            "content": f"import os\n\n{codes[2 * row]}\n\n\n{codes[2 * row + 1]}\n",
            "where": f"src/f{row:02d}.py",
            "lang": "Python",
            "licenses": ["MIT"] if row % 2 else ["MIT", "Apache-2.0"],
            "repo": f"owner/r{row % 3}",
            "stars": row,
        }
        for row in range(count)
    ]


def write(path: str, rows: list[dict[str, Any]], **options: Any) -> None:
    """A table in the form that the path's ending says."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    if path.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), file, **options)
        return
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if path.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    elif path.endswith(".zst"):
        data = pa.compress(data, "zstd", asbytes=True)
    file.write_bytes(data)


def table(path: str = "tables", **more: Any) -> dict[str, Any]:
    return {"kind": "table", "name": "stack", "path": path, "columns": COLUMNS, **more}


def rows_of(workspace: Workspace, *sources: dict[str, Any], share: float = 0.5) -> list[dict[str, Any]]:
    workspace.set("collect.sources", list(sources))
    workspace.set("collect.max_bad_share", share)
    collect.main()
    artifact = artifacts.open("data/functions")
    return [row for file in artifact.parts("functions.parquet") for row in pq.read_table(file).to_pylist()]


def metrics() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("metrics/collect.json").read_text())
    return found


def aside() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("data/functions/set_aside.jsonl").read_text().splitlines()]


# Tables


def test_a_row_carries_the_tables_path_repository_and_licence(workspace: Workspace) -> None:
    spdx = {**files(1)[0], "where": "own.py", "content": f"# SPDX-License-Identifier: ISC\n{GOOD.format('own')}"}
    bare = {**spdx, "where": "bare.py", "content": GOOD.format("bare"), "licenses": None, "repo": None}
    write("tables/a.parquet", [*files(4), spdx, bare])
    rows = rows_of(workspace, table(license="0BSD"))
    assert {row["source"] for row in rows} == {"stack", "stack/owner/r0", "stack/owner/r1", "stack/owner/r2"}
    said = {row["path"]: row["license"] for row in rows}
    assert said["src/f00.py"] == "MIT AND Apache-2.0" and said["src/f01.py"] == "MIT"
    assert (said["own.py"], said["bare.py"]) == ("ISC", "0BSD")
    assert len(rows) > 6 and {row["line"] for row in rows if row["path"] == "src/f00.py"} >= {3}


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst", "json"])
def test_every_form_of_a_table_gives_the_same_rows(workspace: Workspace, ending: str) -> None:
    write("tables/a.parquet", files(6), row_group_size=2)
    found = rows_of(workspace, table())
    Path("tables/a.parquet").unlink()
    write(f"tables/a.{ending}", files(6))
    assert rows_of(workspace, table()) == found


def test_nested_columns_and_dictionaries_are_read(workspace: Workspace) -> None:
    """As datatrove and Spark write them."""
    nested = [{"text": row["content"], "metadata": {"file": row["where"], "n": 1}} for row in files(4)]
    named = {"code": "text", "path": "metadata.file"}
    write("a.jsonl.gz", nested)
    found = rows_of(workspace, table("a.jsonl.gz", columns=named))
    write("a.parquet", nested)
    assert rows_of(workspace, table("a.parquet", columns=named)) == found and found
    coded = pa.Table.from_pylist([{"code": GOOD.format("one"), "lang": "python"}] * 2)
    coded = pa.table({name: coded[name].dictionary_encode() for name in coded.schema.names})
    pq.write_table(coded, "b.parquet")
    rows = rows_of(workspace, table("b.parquet", columns={"code": "code", "language": "lang"}))
    assert [row["path"] for row in rows] == ["b.parquet#1", "b.parquet#2"]


def test_a_row_that_is_a_function_is_taken_as_it_is(workspace: Workspace) -> None:
    codes = {
        "Python": 'import os\n\ndef where(x):\n    """Says where."""\n    return os.path.join(x)\n',
        "Java": "/** Sums. */\npublic int sum(int a) { return a + 1; }",
        "PHP": "function less($a) {\n    return $a - 1;\n}",
        "JavaScript": "twice(a) {\n  return a * 2;\n}",
    }
    write("a.jsonl", [{"code": code, "lang": language} for language, code in codes.items()])
    source = table("a.jsonl", columns={"code": "code", "language": "lang"}, unit="function")
    rows = {row["language"]: row for row in rows_of(workspace, source)}
    assert {language: (row["name"], row["docstring"]) for language, row in rows.items()} == {
        "Python": ("where", "Says where."),
        "Java": ("sum", "Sums."),
        "PHP": ("less", ""),
        "JavaScript": ("twice", ""),
    }
    assert rows["Python"]["imports"] == "import os"
    assert rows["PHP"]["code"] == codes["PHP"] and rows["Java"]["code"].startswith("public int sum")
    write("b.jsonl", [{"code": f"x = 1\n\n\n{GOOD.format('a')}\n{GOOD.format('b')}"}])
    (whole,) = rows_of(workspace, table("b.jsonl", columns={"code": "code"}, unit="function", language="Python"))
    assert whole["code"].startswith("x = 1") and whole["code"].count("def ") == 2


def test_a_limit_takes_the_first_rows_and_reads_no_further(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "PIECE_ROWS", 2)
    write("tables/a.jsonl", files(8))
    everything = rows_of(workspace, table(per_file=1))
    write("tables/b.jsonl", files(8))
    opened: list[str] = []
    read = columns.read
    monkeypatch.setattr(columns, "read", lambda stream, file, source: opened.append(file) or read(stream, file, source))
    rows = rows_of(workspace, table(per_file=1, take={"Python": 3}))
    first = {f"src/f{row:02d}.py" for row in range(3)}
    assert rows == [row for row in everything if row["path"] in first] and opened == ["a.jsonl"]
    assert {row["path"] for row in rows_of(workspace, table(only=["src/f0[1-2].py"]))} == {"src/f01.py", "src/f02.py"}


def test_languages_that_are_not_ours_are_counted(workspace: Workspace) -> None:
    row = files(1)[0]
    write("tables/a.parquet", [row, {**row, "lang": "Cobol"}, {**row, "lang": "C++", "where": "x.cpp"}])
    rows_of(workspace, table())
    assert metrics()["skipped_files"] == {"of no known language": 1}


# Damaged tables


def test_a_parquet_file_cut_in_the_middle_is_named_before_anything_is_read(workspace: Workspace) -> None:
    write("tables/a.jsonl", files(2))
    write("tables/b.parquet", files(40))
    whole = Path("tables/b.parquet").read_bytes()
    Path("tables/b.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"tables/b\.parquet is damaged or cut off: .*Parquet magic bytes not found"):
        rows_of(workspace, table())
    assert not list(Path(".tidemill/checkpoints").rglob("piece-*"))


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "jsonl.gz"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(workspace: Workspace, ending: str) -> None:
    write(f"tables/a.{ending}", [{key: row[key] for key in ("content", "where", "repo", "lang")} for row in files(3)])
    with pytest.raises(BadInput, match=rf"a\.{ending} has no column 'licenses'.* \(it has .*content.*\)"):
        rows_of(workspace, table())


def test_a_column_that_holds_no_text_is_named(workspace: Workspace) -> None:
    write("tables/a.parquet", files(3))
    with pytest.raises(BadInput, match=r"a\.parquet: column stars holds int64, no text"):
        rows_of(workspace, table(columns={**COLUMNS, "code": "stars"}))


def test_a_page_that_is_damaged_is_set_aside_with_the_rest_of_its_row_group(workspace: Workspace) -> None:
    write("tables/a.parquet", files(12), row_group_size=4, use_dictionary=False, write_page_checksum=True)
    group = pq.read_metadata("tables/a.parquet").row_group(1)
    column = next(group.column(at) for at in range(group.num_columns) if group.column(at).path_in_schema == "content")
    data = bytearray(Path("tables/a.parquet").read_bytes())
    end = column.data_page_offset + column.total_compressed_size
    data[end - 100 : end - 40] = bytes(60)
    Path("tables/a.parquet").write_bytes(data)
    rows = rows_of(workspace, table())
    (entry,) = aside()
    assert (entry["file"], entry["line"], entry["rows"]) == ("a.parquet", 5, 4)
    assert "damaged from here to the row group's end" in entry["reason"]
    assert {row["path"] for row in rows} <= {f"src/f{row:02d}.py" for row in (0, 1, 2, 3, 8, 9, 10, 11)}
    assert metrics()["set_aside_rows"] == 4


LINES: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"{oops", "not JSON"),
    "not an object": (b"[1]", "not a JSON object but list"),
    "not UTF-8": (b'{"content": "caf\xe9"}', "not UTF-8"),
    "no code": (b'{"content": null, "where": "a.py"}', "no text in column content"),
    "no path": (b'{"content": "x = 1"}', "no text in column where"),
}


@pytest.mark.parametrize("damage", LINES)
def test_a_damaged_line_is_set_aside_with_its_number(workspace: Workspace, damage: str) -> None:
    good = [json.dumps(row).encode() for row in files(3)]
    bad, reason = LINES[damage]
    Path("a.jsonl").write_bytes(b"\n".join([*good[:2], bad, good[2], b""]))
    rows = rows_of(workspace, table("a.jsonl"))
    (entry,) = aside()
    assert (entry["source"], entry["file"], entry["line"]) == ("stack", "a.jsonl", 3) and reason in entry["reason"]
    assert "src/f02.py" in {row["path"] for row in rows}
    with pytest.raises(BadInput, match=r"unreadable, more than collect\.max_bad_share"):
        rows_of(workspace, table("a.jsonl"), share=0.01)


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst"])
def test_lines_before_a_cut_are_kept(workspace: Workspace, ending: str) -> None:
    noise = random.Random(1)
    write(f"a.{ending}", [{**row, "noise": noise.randbytes(9000).hex()} for row in files(40)])
    whole = Path(f"a.{ending}").read_bytes()
    Path(f"a.{ending}").write_bytes(whole[: len(whole) * 2 // 3])
    rows = rows_of(workspace, table(f"a.{ending}"))
    (entry,) = aside()
    assert rows and "cut off from here on" in entry["reason"] and entry["line"] > 2


def test_a_file_that_is_not_of_its_ending_is_named(workspace: Workspace) -> None:
    Path("a.jsonl.gz").write_bytes(b"this is no gzip")
    with pytest.raises(BadInput, match=r"a\.jsonl\.gz, line 1: damaged or cut off .*gzip"):
        rows_of(workspace, table("a.jsonl.gz"))


def test_of_a_huge_line_only_the_end_is_looked_for(workspace: Workspace) -> None:
    """A line of 400 MB, which is a hole in the file."""
    good = [json.dumps(row).encode() + b"\n" for row in files(2)]
    with Path("a.jsonl").open("wb") as out:
        out.write(good[0] + b'{"content": "')
        out.seek(400_000_000, 1)
        out.write(b'"}\n' + good[1])
    grown = peak_of(lambda: rows_of(workspace, table("a.jsonl")))
    (entry,) = aside()
    assert (entry["line"], entry["reason"]) == (2, "a line of more than 16,000,000 bytes")
    assert metrics()["rows"] >= 2 and grown < 120_000_000


def test_a_huge_row_of_parquet_is_not_unpacked(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    write("tables/a.parquet", files(3))
    huge = {**files(1)[0], "where": "huge.py", "content": "x = 1\n" * 10_000_000}
    write("tables/b.parquet", [huge])
    monkeypatch.setattr(columns, "GROUP_BYTES", 50_000_000)
    grown = peak_of(lambda: rows_of(workspace, table()))
    (entry,) = aside()
    assert (entry["file"], entry["line"], entry["rows"]) == ("b.parquet", 1, 1)
    assert "a row group of" in entry["reason"] and grown < 40_000_000
    monkeypatch.setattr(columns, "GROUP_BYTES", 1_000_000_000)
    rows_of(workspace, table())
    assert metrics()["skipped_files"] == {"larger than 1 MB": 1} and not aside()


def peak_of(work: Callable[[], Any]) -> int:
    """By how many bytes this process grew while it worked."""
    held = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * 4096  # noqa: E731
    before, most, done = held(), held(), threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return most - before


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (table("absent"), "source absent does not exist"),
        (table("."), r"source \.: no \.parquet, \.jsonl"),
        (table(columns={"path": "where"}), "columns.code: missing"),
        (table(columns={"code": "content"}), "nothing says the rows' language"),
        (table(columns={"code": "content", "language": "lang"}, only=["a*"]), "only chooses paths: name columns.path"),
        (table(language="Python"), "name either language, which is every row's, or columns.language"),
        (table(unit="function", per_file=3), "per_file goes with unit: file"),
        (table(columns={"code": "c", "pathh": "p"}), "pathh: unknown key"),
    ],
)
def test_a_table_that_is_not_described_is_refused(workspace: Workspace, source: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        rows_of(workspace, source)


# Commits


def git(*words: str, where: str = "repo") -> str:
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"]
    done = subprocess.run(["git", *settings, *words], cwd=where, capture_output=True, text=True, check=True)
    return done.stdout.strip()


MIT = """MIT License

Copyright (c) 2026 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED.
"""


@pytest.fixture
def commit(workspace: Workspace) -> str:
    """A repository of two commits; the first one's hash, which no branch names, but the tag `one` does."""
    for row in files(6):
        file = Path("repo", row["where"])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(row["content"])
    vendored = Path("repo/vendor/gpl")
    vendored.mkdir(parents=True)
    (vendored / "COPYING").write_text("GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007\n")
    (vendored / "copied.py").write_text(GOOD.format("copied"))
    Path("repo/vendor/odd").mkdir()
    Path("repo/vendor/odd/LICENSE").write_text("Ask before you use this, and never on a Sunday. " * 20)
    Path("repo/vendor/odd/odd.py").write_text(GOOD.format("odd"))
    Path("repo/own.py").write_text(f"# SPDX-License-Identifier: ISC\n{GOOD.format('own')}")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    Path("repo/large.py").write_text(pointer)
    Path("repo/LICENSE").write_text(MIT)
    Path("repo/.gitattributes").write_text("own.py export-ignore\n*.py eol=crlf\n")
    Path("repo/link.py").symlink_to("own.py")
    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor/sub")
    git("commit", "--quiet", "--message", "one")
    git("tag", "--annotate", "one", "--message", "one")
    first = git("rev-parse", "HEAD")
    Path("repo/src/f00.py").write_text(GOOD.format("changed"))
    git("commit", "--quiet", "--all", "--message", "two")
    return first


def at(revision: str, repository: str = "repo", **more: Any) -> dict[str, Any]:
    return {"kind": "git", "repository": repository, "revision": revision, **more}


def test_a_commit_gives_its_files_under_the_nearest_licence(workspace: Workspace, commit: str) -> None:
    rows = rows_of(workspace, at(commit))
    assert {row["source"] for row in rows} == {f"repo@{commit}"}
    licences = {row["path"]: row["license"] for row in rows}
    assert licences["own.py"] == "ISC", "whatever export-ignore says"
    assert licences["vendor/gpl/copied.py"] == "GPL-3.0-only"
    assert licences["vendor/odd/odd.py"] == "NOASSERTION"
    assert licences["src/f01.py"] == "MIT" and "changed" not in {row["name"] for row in rows}
    assert not {"link.py", "large.py"} & licences.keys()
    assert metrics()["skipped_files"] == {"LFS pointer": 1, "submodule": 1}
    named = rows_of(workspace, at(commit, license="0BSD", name="mine", only=["vendor/*"]))
    assert {(row["source"], row["path"], row["license"]) for row in named} == {
        (f"mine@{commit}", "vendor/gpl/copied.py", "0BSD"),
        (f"mine@{commit}", "vendor/odd/odd.py", "0BSD"),
    }


def test_a_fetched_commit_needs_its_repository_no_longer(workspace: Workspace, commit: str) -> None:
    address = f"file://{workspace.path}/repo"
    found = rows_of(workspace, at(commit, address))
    root = artifacts.open("data/functions").root
    Path("repo").rename("gone")
    assert rows_of(workspace, at(commit, address)) == found
    assert rows_of(workspace, at(commit, "https://nowhere.invalid/repo.git")) == found
    assert artifacts.open("data/functions").root == root, "where it lies is no part of the result"
    assert not list(Path(f".tidemill/downloads/git-{commit}").rglob("*.py")), "there is no checkout"
    take = rows_of(workspace, at(commit, address, take={"Python": 3}, per_file=1))
    assert len(take) == 3 == len({row["path"] for row in take})


def test_a_commit_is_fetched_over_http(workspace: Workspace, commit: str) -> None:
    """git's dumb protocol, which hands out neither a commit by its hash nor a shallow history."""
    git("update-server-info")
    with served("repo/.git") as address:
        rows = rows_of(workspace, at(commit, address, name="mine"))
        assert rows == rows_of(workspace, at(commit, f"{address}/elsewhere", name="mine"))
    assert len(rows) > 6 and {row["source"] for row in rows} == {f"mine@{commit}"}


@pytest.mark.parametrize(("revision", "found"), [("main", "main"), ("one", "one^{commit}")])
def test_a_branch_or_a_tag_is_refused_with_its_commit(
    workspace: Workspace, commit: str, revision: str, found: str
) -> None:
    stands = git("rev-parse", found)
    for repository in ("repo", f"file://{workspace.path}/repo"):
        with pytest.raises(BadInput, match=f"revision '{revision}' is no full commit hash; it is now {stands}"):
            rows_of(workspace, at(revision, repository))


def test_commits_that_cannot_be_had_are_named(
    workspace: Workspace, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = "0123456789" * 4
    for source, message in [
        (at(absent), f"repo has no commit {absent}"),
        (at("nothing"), "'nothing' is no full commit hash; .*repo has nothing of that name either"),
        (at(commit, "https://127.0.0.1:9/x.git"), "source x: git cannot fetch from https://127.0.0.1:9/x.git: "),
        (at(commit, "--upload-pack=touch hacked"), "git cannot fetch from"),
    ]:
        with pytest.raises(BadInput, match=message):
            rows_of(workspace, source)
    assert not Path("hacked").exists() and not list(Path(".tidemill/downloads").iterdir())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BadInput, match="needs git, which is not installed"):
        rows_of(workspace, at(commit))


@pytest.mark.parametrize("text", ["", "Ask before you use this, and never on a Sunday. " * 20])
def test_a_commit_without_a_licence_says_which_key_to_set(workspace: Workspace, commit: str, text: str) -> None:
    git("rm", "--quiet", "LICENSE")
    if text:
        Path("repo/LICENSE").write_text(text)
        git("add", "LICENSE")
    git("commit", "--quiet", "--message", "three")
    head = git("rev-parse", "HEAD")
    tried = "LICENSE" if text else "no licence file, no package metadata"
    said = rf"no licence found at {head[:12]} \({tried}\).* set the source's key `license`"
    with pytest.raises(BadInput, match=said):
        rows_of(workspace, at(head))
    assert {row["license"] for row in rows_of(workspace, at(head, license=""))} == {"", "ISC"}


@contextmanager
def served(folder: str) -> Iterator[str]:
    """The address of an HTTP server of a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(Path(folder).resolve()))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


# Datasets of the hub, which only a process of its own can be pointed at


@pytest.fixture
def hub(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[hubserver.Hub]:
    """A hub with two datasets: of Parquet in three files, and of JSON lines in two, whose rows are large."""
    for part in range(3):
        write(f"hub/owner/code/data/train-{part:05d}-of-00003.parquet", files(12)[4 * part : 4 * part + 4])
    for part in range(3):
        write(f"hub/owner/lines/data/train-{part}.jsonl", large(8 * part, 8))
    with hubserver.serve(Path("hub")) as running:
        for name, value in running.environment(workspace.path / "home").items():
            monkeypatch.setenv(name, value)
        yield running


def large(first: int, count: int) -> list[dict[str, Any]]:
    """Rows of 300 kB, of which four fill a piece."""
    rest = 'TEXT = """' + "a line that is there to be long, and says nothing else at all besides\n" * 4300 + '"""\n'
    return [
        {**files(1)[0], "where": f"src/large{row:03d}.py", "content": GOOD.format(f"large{row}") + rest}
        for row in range(first, first + count)
    ]


def streamed(name: str = "owner/code", **more: Any) -> dict[str, Any]:
    return {"kind": "hub", "name": name, "revision": hubserver.REVISION, "columns": COLUMNS, **more}


def collected(workspace: Workspace, *sources: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a run in a process of its own."""
    workspace.set("collect.sources", list(sources))
    ran = workspace.run("collect")
    assert ran.returncode == 0, ran.stderr
    rows: list[dict[str, Any]] = pq.read_table("data/functions/functions.parquet").to_pylist()
    return rows


def test_a_dataset_gives_the_rows_of_the_same_table_here(workspace: Workspace, hub: hubserver.Hub) -> None:
    rows = collected(workspace, streamed())
    assert set(hub.sent) == {f"data/train-{part:05d}-of-00003.parquet" for part in range(3)}
    label = f"owner/code@{hubserver.REVISION[:10]}"
    assert rows == rows_of(workspace, table("hub/owner/code/data", name=label)) and len(rows) > 12


def test_a_full_limit_ends_the_download(workspace: Workspace, hub: hubserver.Hub) -> None:
    Path("hub/owner/lines/data/train-0.jsonl").write_bytes(
        b"".join(json.dumps(row).encode() + b"\n" for row in large(0, 60))
    )
    rows = collected(workspace, streamed("owner/lines", take={"Python": 5}))
    assert [row["name"] for row in rows] == [f"large{row}" for row in range(5)]
    assert list(hub.sent) == ["data/train-0.jsonl"]
    size = Path("hub/owner/lines/data/train-0.jsonl").stat().st_size
    assert size > 18_000_000 and hub.sent["data/train-0.jsonl"] < 11_000_000, "a block to look at it, one to read it"


@pytest.mark.slow
def test_a_killed_run_goes_on_without_what_it_had_read(workspace: Workspace, hub: hubserver.Hub, commit: str) -> None:
    write("tables/a.parquet", large(100, 8), row_group_size=3)
    workspace.set("collect.workers", 1)
    sources = [at(commit), table(), streamed("owner/lines")]
    collected(workspace, *sources)
    root = artifacts.open("data/functions").root
    whole = dict(hub.sent)
    (Path("data/functions") / artifacts.SEAL).unlink()
    process = workspace.start("collect")
    assert process.stdout
    read = (line for line in process.stdout if "read piece-" in line)
    made = list(itertools.islice(read, 1 + 2 + 4))  # of the commit, the table, and the dataset's second file
    process.kill()
    process.stdout.read()
    process.wait()
    hub.sent.clear()
    again = workspace.run("collect")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("read piece-") == 9 - len(made), "no piece is read twice"
    assert artifacts.open("data/functions").root == root
    assert hub.sent["data/train-0.jsonl"] < whole["data/train-0.jsonl"], "it was looked at, and not read again"


@pytest.mark.slow
def test_shards_give_the_same_root(workspace: Workspace, hub: hubserver.Hub, commit: str) -> None:
    write("tables/a.jsonl.gz", large(200, 10))
    workspace.set("collect.workers", 1)
    sources = [at(commit), table(), streamed("owner/lines"), streamed(take={"Python": 4})]
    collected(workspace, *sources)
    root = artifacts.open("data/functions").root
    (Path("data/functions") / artifacts.SEAL).unlink()
    sent = []
    for shard in range(3):
        hub.sent.clear()
        ran = workspace.run(f"collect --shard {shard}/3")
        assert ran.returncode == 0, ran.stderr
        sent.append({path for path, size in hub.sent.items() if path.endswith("jsonl")})
    assert sent == [{"data/train-0.jsonl"}] + [{"data/train-0.jsonl", f"data/train-{part}.jsonl"} for part in (1, 2)]
    last = workspace.run("collect")
    assert last.returncode == 0 and last.stderr.count("read piece-") == 1, "but for what has a limit, all was saved"
    assert artifacts.open("data/functions").root == root


@pytest.mark.slow
def test_a_connection_that_breaks_off_sets_nothing_aside(workspace: Workspace, hub: hubserver.Hub) -> None:
    hub.breaks = "data/train-1.jsonl"
    program = (
        "from datasets import config; config.STREAMING_READ_MAX_RETRIES = 2; config.STREAMING_READ_RETRY_INTERVAL = 0\n"
        "from stages import collect; collect.main()"
    )
    workspace.set("collect.sources", [streamed("owner/lines")])
    ran = subprocess.run([sys.executable, "-c", program], env=workspace.environment(), capture_output=True, text=True)
    assert ran.returncode == 1 and "data/train-1.jsonl broke off" in ran.stderr and "run it again" in ran.stderr
    assert not Path("data/functions").exists()
    hub.breaks = ""
    assert len(collected(workspace, streamed("owner/lines"))) == 24


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"revision": "0" * 40}, f"dataset owner/code at {'0' * 40} cannot be had from the hub"),
        ({"name": "owner/absent"}, "dataset owner/absent at .* cannot be had from the hub"),
        ({"split": "test"}, "dataset owner/code has no split 'test'; it has train"),
        ({"columns": {"code": "text", "path": "where"}}, "train-00000-of-00003.parquet has no column 'text'"),
        ({"revision": "main"}, "revision: String should match pattern"),
    ],
)
def test_a_dataset_that_cannot_be_had_is_named(
    workspace: Workspace, hub: hubserver.Hub, more: dict[str, Any], message: str
) -> None:
    workspace.set("collect.sources", [streamed(**more)])
    ran = workspace.run("collect")
    assert ran.returncode == 3 and re.search(message, ran.stderr), ran.stderr
