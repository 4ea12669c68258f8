"""collect: real source files in nine languages, real gzip and parquet files, a real package."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from workspace import REPOSITORY, Workspace

from stages.lib import artifacts, packages, records
from stages.lib.corpus.archives import read_archive
from stages.lib.corpus.functions import extract, function_id, language_of, languages, parses, without_docstring
from stages.lib.corpus.intake import Intake
from stages.lib.corpus.reader import Extract
from stages.lib.corpus.sources import Shape, Tree
from stages.lib.errors import BadInput

SOURCES = REPOSITORY / "tests/support/sources"
WHEEL = {"name": "iniconfig", "version": "2.3.0"}  # 7 kB, in Python alone
WHEEL_SHA256 = "f631c04d2c48c52b84d0d0549c99ff3859c98df65b3101406327ecc7d53fbf12"

FOUND = {
    "shapes.py": [
        ("ring_area", "The area between two circles.\n\nBoth radii are in metres."),
        ("__init__", ""),
        ("place", r"Put a \book on the shelf."),
        ("one_liner", ""),
    ],
    "shapes.php": [
        ("total", "Sum of the prices of all items.\n\n@return float"),
        ("__construct", ""),
        ("clamp_value", ""),
    ],
    "shapes.go": [
        ("Largest", "Largest returns the greatest of the numbers,\nor zero where there are none."),
        ("Volume", ""),
    ],
    "Shapes.java": [("perimeter", "Length of the way around.")],
    "shapes.js": [
        ("greet", "Greets by name."),
        ("doubled", "Doubles every number."),
        ("greet.shout", ""),
        ("push", ""),
    ],
    "shapes.rb": [
        ("initialize", ""),
        ("count_words", "Counts the words of a text,\nwhatever their case."),
        ("empty?", ""),
    ],
    "shapes.cpp": [("mean", "The mean of the values."), ("Grid::cell", ""), ("first_of", "")],
    "Shapes.cs": [("Withdraw", "<summary>Takes money out.</summary>")],
    "shapes.rs": [("peek", "The topmost value, if any."), ("gcd", "")],
}


def functions_of(name: str) -> list[Any]:
    return list(extract((SOURCES / name).read_text(), language_of(name) or ""))


@pytest.mark.parametrize("name", FOUND)
def test_each_language_gives_its_functions_with_their_docstrings(name: str) -> None:
    assert [(function.name, function.docstring) for function in functions_of(name)] == FOUND[name]


@pytest.mark.parametrize("name", FOUND)
def test_a_function_taken_out_of_its_file_parses_and_starts_on_its_line(name: str) -> None:
    lines = (SOURCES / name).read_text().splitlines()
    for function in functions_of(name):
        assert parses(function.code, language_of(name) or "")
        assert function.code.splitlines()[0].strip() == lines[function.line - 1].strip()
        assert not function.code[0].isspace()


def test_python_code_holds_no_docstring_but_keeps_decorators_comments_and_strings() -> None:
    ring, _, place, _ = functions_of("shapes.py")
    assert ring.code.startswith("@staticmethod\ndef ring_area(outer, inner):\n    if inner > outer:")
    assert '"""' not in ring.code
    assert "# thickness is in millimetres" in place.code
    assert "\nno indentation here\n" in place.code
    compile(place.code, "place", "exec")


def test_a_class_member_is_dedented_as_a_whole() -> None:
    assert functions_of("Shapes.cs")[0].code.splitlines()[:2] == ["public bool Withdraw(decimal amount)", "{"]


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("Python", "def f(:\n    return 1"),
        ("PHP", "function f( { return 1; }"),
        ("Go", "func f( { return 1 }"),
        ("Java", "int f( { return 1; }"),
        ("JavaScript", "function f( { return 1; }"),
        ("Ruby", "def f(\n  1 +\nend"),
        ("C++", "int f( { return 1; }"),
        ("C#", "int F( { return 1; }"),
        ("Rust", "fn f( { 1 }"),
    ],
)
def test_broken_code_does_not_parse(language: str, code: str) -> None:
    assert not parses(code, language)


# Trees and packages through the stage


def tree(path: Path, **more: Any) -> dict[str, Any]:
    return {"kind": "tree", "name": "mine", "path": str(path), **more}


def rows_of(workspace: Workspace) -> list[dict[str, Any]]:
    file = artifacts.open("data/functions").file("functions.parquet")
    rows: list[dict[str, Any]] = records.read(file, records.FUNCTION).to_pylist()
    return rows


def collect(workspace: Workspace, *sources: dict[str, Any], share: float = 0.5) -> subprocess.CompletedProcess[str]:
    workspace.set("collect.sources", list(sources))
    workspace.set("collect.max_bad_share", share)
    return workspace.run("collect")


def test_a_tree_becomes_rows_with_source_path_line_and_licence(workspace: Workspace) -> None:
    shutil.copytree(SOURCES, "tree/lib")
    Path("tree/lib/shapes.go").write_text("// SPDX-License-Identifier: MIT\n" + (SOURCES / "shapes.go").read_text())
    result = collect(workspace, tree(Path("tree"), license="Apache-2.0"))
    assert result.returncode == 0, result.stderr
    rows = rows_of(workspace)
    assert {row["language"] for row in rows} == set(languages())
    assert {row["source"] for row in rows} == {"mine"}
    largest = next(row for row in rows if row["name"] == "Largest")
    assert (largest["path"], largest["line"], largest["license"]) == ("lib/shapes.go", 6, "MIT")
    assert all(row["license"] == "Apache-2.0" for row in rows if row["language"] != "Go")
    assert all(row["id"] == function_id(row["language"], row["code"]) for row in rows)
    # CodeSearchNet's own rules: no constructors, nothing of fewer than three lines.
    assert not {"__init__", "__construct", "initialize", "one_liner"} & {row["name"] for row in rows}
    metrics = json.loads(Path("metrics/collect.json").read_text())
    assert metrics["rows"] == len(rows)
    assert metrics["skipped_functions"] == {"omitted by name": 3, "too few lines": 1}


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        ("x-1.dist-info/METADATA", b"Name: x\nLicense-Expression: (MIT OR Apache-2.0) AND GPL-3.0-only\n"),
        ("package/package.json", b'{\n  "license": "(MIT OR Apache-2.0) AND GPL-3.0-only",\n  "name": "x"\n}'),
    ],
)
def test_a_packages_licence_is_read_as_a_whole(workspace: Workspace, name: str, metadata: bytes) -> None:
    assert licenses_in([(name, metadata)]) == {"(MIT OR Apache-2.0) AND GPL-3.0-only"}


def test_a_files_own_licence_is_read_as_a_whole(workspace: Workspace) -> None:
    code = (
        b"// SPDX-License-Identifier: (MIT OR Apache-2.0) AND GPL-3.0-only */\n" + (SOURCES / "shapes.go").read_bytes()
    )
    assert licenses_in([("x.go", code)], "x.go") == {"(MIT OR Apache-2.0) AND GPL-3.0-only"}


def licenses_in(files: list[tuple[str, bytes]], path: str = "shapes.go") -> set[str]:
    """The licences of the functions of `path` in an archive of these files."""
    with zipfile.ZipFile("x.zip", "w") as packed:
        for name, data in {"shapes.go": (SOURCES / "shapes.go").read_bytes(), **dict(files)}.items():
            packed.writestr(name, data)
    extract = Extract(Shape(least_lines=1, omit_names=[]), Path("saves"))
    Path("saves").mkdir()
    source = Tree(kind="tree", name="x", path="x.zip", only=[path])
    intake = Intake(source, lambda pieces: (extract((piece.fingerprint, piece)) for piece in pieces), Path("saves"))
    return {license for rows in intake.rows() for license in rows["license"].to_pylist()}


def test_a_row_carries_the_imports_that_it_uses_and_no_others(workspace: Workspace) -> None:
    Path("tree").mkdir()
    area = "def area(radius):\n    square = radius * radius\n    return math.pi * square\n"
    double = "def double(number):\n    result = number * 2\n    return result\n"
    Path("tree/a.py").write_text("import os\nimport math\n\n" + area + "\n" + double)
    assert collect(workspace, tree(Path("tree"))).returncode == 0
    assert {row["name"]: row["imports"] for row in rows_of(workspace)} == {"area": "import math", "double": ""}


def test_the_same_tree_elsewhere_gives_the_same_root_hash(workspace: Workspace) -> None:
    shutil.copytree(SOURCES, "here")
    shutil.copytree(SOURCES, "there")
    assert collect(workspace, tree(Path("here"))).returncode == 0
    first = artifacts.open("data/functions").root
    assert collect(workspace, tree(Path("there"))).returncode == 0
    assert artifacts.open("data/functions").root == first


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_an_archive_of_a_tree_gives_the_trees_rows(workspace: Workspace, kind: str) -> None:
    shutil.copytree(SOURCES, "tree/lib")
    Path("tree/.hidden").mkdir()
    shutil.copy(SOURCES / "shapes.go", "tree/.hidden/other.go")
    archive = shutil.make_archive("packed", kind, "tree")
    assert collect(workspace, tree(Path("tree"))).returncode == 0
    found = rows_of(workspace)
    assert collect(workspace, tree(Path(archive))).returncode == 0
    assert rows_of(workspace) == found


def test_a_path_may_begin_with_the_home_folder(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(workspace.path / "home"))
    shutil.copytree(SOURCES, "home/code")
    write_gz(Path("home/rows.jsonl.gz"), lines(3))
    result = collect(workspace, tree(Path("~/code")), codesearchnet(path="~/rows.jsonl.gz"))
    assert result.returncode == 0, result.stderr
    assert {row["source"] for row in rows_of(workspace)} == {"mine", "codesearchnet/owner/repo"}


def test_a_file_that_is_no_source_is_named(workspace: Workspace) -> None:
    Path("notes.txt").write_text("no code")
    for source in (tree(Path("notes.txt")), codesearchnet(path="notes.txt")):
        result = collect(workspace, source)
        assert result.returncode == 3 and "notes.txt" in result.stderr


def test_limits_take_a_fixed_choice(workspace: Workspace) -> None:
    shutil.copytree(SOURCES, "tree")
    for copy in range(6):
        Path(f"tree/copy{copy}.go").write_text((SOURCES / "shapes.go").read_text())
    assert collect(workspace, tree(Path("tree"), take={"Go": 3, "Rust": 9}, per_file=1)).returncode == 0
    first = rows_of(workspace)
    assert sorted(row["language"] for row in first) == ["Go"] * 3 + ["Rust"]
    assert len({row["path"] for row in first}) == 4
    assert collect(workspace, tree(Path("tree"), take={"Go": 3, "Rust": 9}, per_file=1)).returncode == 0
    assert rows_of(workspace) == first


def test_generated_and_minified_files_are_skipped_and_counted(workspace: Workspace) -> None:
    shutil.copytree(SOURCES, "tree")
    code = (SOURCES / "shapes.js").read_text()
    Path("tree/a.min.js").write_text(code)
    Path("tree/b.js").write_text(code.replace("\n", " ") * 3)
    Path("tree/c.go").write_text("// Code generated by stringer. DO NOT EDIT.\n" + (SOURCES / "shapes.go").read_text())
    Path("tree/d.js").write_text(code + "// a line\n" * 120_000)
    assert collect(workspace, tree(Path("tree"))).returncode == 0
    metrics = json.loads(Path("metrics/collect.json").read_text())
    assert metrics["skipped_files"] == {"generated": 1, "larger than 1 MB": 1, "minified": 2}


def test_a_source_file_that_is_not_utf8_is_set_aside_with_its_line(workspace: Workspace) -> None:
    shutil.copytree(SOURCES, "tree")
    Path("tree/latin.py").write_bytes(b"import math\n\nname = 'caf\xe9'\n")
    assert collect(workspace, tree(Path("tree"))).returncode == 0
    (entry,) = map(json.loads, Path("data/functions/set_aside.jsonl").read_text().splitlines())
    assert (entry["source"], entry["file"], entry["line"]) == ("mine", "latin.py", 3)
    assert "not UTF-8" in entry["reason"]


@pytest.mark.parametrize("literal", ['b"""Packs."""', "Rb'Packs.'"])
def test_bytes_at_the_head_of_a_function_are_code(literal: str) -> None:
    code = f"def pack(rows):\n    {literal}\n    return list(rows)"
    (function,) = extract(code, "Python")
    assert (function.code, function.docstring) == (code, "")


def test_a_function_that_cannot_be_read_is_set_aside_alone(workspace: Workspace) -> None:
    """An escape in a docstring that is half a character: no file can hold it."""
    shutil.copytree(SOURCES, "tree")
    good = "def {}(rows):\n    total = sum(rows)\n    return total\n\n"
    bad = 'def bad(rows):\n    "Half: \\ud800."\n    return rows\n\n'
    Path("tree/half.py").write_text(good.format("first") + bad + good.format("last"))
    result = collect(workspace, tree(Path("tree"), only=["half.py"]))
    assert result.returncode == 0, result.stderr
    assert [row["name"] for row in rows_of(workspace)] == ["first", "last"]
    (entry,) = map(json.loads, Path("data/functions/set_aside.jsonl").read_text().splitlines())
    assert (entry["file"], entry["line"]) == ("half.py", 5)
    assert "UnicodeEncodeError" in entry["reason"]
    metrics = json.loads(Path("metrics/collect.json").read_text())
    assert (metrics["set_aside_rows"], metrics["set_aside_by_reason"]) == (1, {"function cannot be read": 1})


def test_archives_of_every_kind_give_the_same_files(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as files:
        files.write(SOURCES / "Shapes.java", "deep/Shapes.java")
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as files:
        files.write(SOURCES / "shapes.go", "shapes.go")
    root = tmp_path / "debian"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
    )
    shutil.copy(SOURCES / "shapes.go", root)
    (root / "src.zip").write_bytes(inner.getvalue())
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(SOURCES / "shapes.go", "shapes.go")
    go = ("shapes.go", (SOURCES / "shapes.go").read_bytes())
    assert list(read_archive(tmp_path / "a.whl")) == [go]
    assert list(read_archive(tmp_path / "a.tar.gz")) == [go]
    if shutil.which("dpkg-deb"):
        subprocess.run(["dpkg-deb", "--build", root, tmp_path / "a.deb"], check=True, capture_output=True)
        found = dict(read_archive(tmp_path / "a.deb"))
        assert found == dict([go]) | {"src.zip/deep/Shapes.java": (SOURCES / "Shapes.java").read_bytes()}


@pytest.mark.parametrize("suffix", [".whl", ".tar.gz", ".deb"])
def test_a_damaged_archive_is_named(tmp_path: Path, suffix: str) -> None:
    if suffix == ".deb" and not shutil.which("dpkg-deb"):
        pytest.skip("there is no dpkg-deb on this machine")
    broken = tmp_path / f"broken{suffix}"
    broken.write_bytes(b"this is no archive")
    with pytest.raises(BadInput, match=f"{broken}.* is damaged"):
        list(read_archive(broken))


def wheel(sha256: str) -> dict[str, Any]:
    return {"kind": "package", "registry": "pip", "sha256": sha256, **WHEEL}


@pytest.fixture
def registry() -> None:
    """Skips the test where pip can reach no package registry."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", "asked", "iniconfig==2.3.0"]
    asked = subprocess.run(command, capture_output=True, check=False)
    shutil.rmtree("asked", ignore_errors=True)
    if asked.returncode:
        pytest.skip("pip reaches no package registry from here")


def test_a_package_is_downloaded_once_and_its_licence_known(workspace: Workspace, registry: None) -> None:
    result = collect(workspace, wheel(WHEEL_SHA256))
    assert result.returncode == 0, result.stderr
    rows = rows_of(workspace)
    assert {row["source"] for row in rows} == {"iniconfig==2.3.0"}
    assert {row["license"] for row in rows} == {"MIT"}
    archive = next((packages.DOWNLOADS / WHEEL_SHA256).iterdir())
    before = archive.stat().st_mtime_ns
    assert collect(workspace, wheel(WHEEL_SHA256)).returncode == 0
    assert archive.stat().st_mtime_ns == before


def test_a_package_of_another_hash_is_refused_with_both(workspace: Workspace, registry: None) -> None:
    result = collect(workspace, wheel("0" * 64))
    assert result.returncode == 3
    assert f"iniconfig 2.3.0: sha256 is {WHEEL_SHA256}, pinned is {'0' * 64}" in result.stderr


def test_a_cached_package_that_was_changed_is_refused_with_both_hashes(workspace: Workspace) -> None:
    kept = packages.DOWNLOADS / WHEEL_SHA256
    kept.mkdir(parents=True)
    (kept / "iniconfig-2.3.0-py3-none-any.whl").write_bytes(b"changed")
    result = collect(workspace, wheel(WHEEL_SHA256))
    assert result.returncode == 3
    assert hashlib.sha256(b"changed").hexdigest() in result.stderr
    assert WHEEL_SHA256 in result.stderr


def test_an_sdist_whose_setup_tries_a_compiler_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = (
        "import os, shlex, subprocess\n"
        "from setuptools import setup\n"
        "assert subprocess.run([*shlex.split(os.environ.get('CXX', 'none')), '-x', 'c++', '-']).returncode == 0\n"
        "setup(name='tries-a-compiler', version='1.0')\n"
    )
    archive = tmp_path / "shelf/tries_a_compiler-1.0.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in {"setup.py": setup, "PKG-INFO": "Name: tries-a-compiler\nVersion: 1.0\n"}.items():
            entry = tarfile.TarInfo(f"tries_a_compiler-1.0/{name}")
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(archive.parent), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    (tmp_path / "into").mkdir()
    sha256 = artifacts.hash_file(archive)
    assert packages.download("pip", "tries-a-compiler", "1.0", sha256, tmp_path / "into", "sdist").is_file()


def test_a_package_that_no_registry_has_is_named(workspace: Workspace, registry: None) -> None:
    result = collect(workspace, {**wheel(WHEEL_SHA256), "version": "0.0.0.0.1"})
    assert result.returncode == 3
    assert "pip cannot download iniconfig 0.0.0.0.1" in result.stderr


# CodeSearchNet


def published(**more: Any) -> dict[str, Any]:
    """A row as the first release's gzipped JSON lines have it; its code still holds the docstring."""
    code = 'def add(a, b):\n    """Adds."""\n    total = a + b\n    return total'
    url = "https://example.org/owner/repo/blob/0123/maths/add.py#L12-L15"
    row = {"repo": "owner/repo", "path": "maths/add.py", "func_name": "add", "original_string": code, "code": code}
    return {**row, "language": "python", "docstring": "Adds.", "url": url, "partition": "train", **more}


def of_the_hub(**more: Any) -> dict[str, Any]:
    names = {"repo": "repository_name", "path": "func_path_in_repository", "original_string": "whole_func_string"}
    names |= {"code": "func_code_string", "docstring": "func_documentation_string", "url": "func_code_url"}
    return {names.get(key, key): value for key, value in published(**more).items()}


def write_gz(file: Path, lines: list[bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(b"".join(line + b"\n" for line in lines), mtime=0))
    return file


def lines(count: int) -> list[bytes]:
    return [json.dumps(published(func_name=f"add{row}")).encode() for row in range(count)]


def codesearchnet(**more: Any) -> dict[str, Any]:
    return {"kind": "codesearchnet", "path": "csn", **more}


def test_both_releases_of_codesearchnet_give_the_same_rows(workspace: Workspace) -> None:
    write_gz(Path("csn/python/final/jsonl/train/python_train_0.jsonl.gz"), lines(3))
    assert collect(workspace, codesearchnet()).returncode == 0
    first = rows_of(workspace)
    shutil.rmtree("csn")
    Path("csn").mkdir()
    pq.write_table(pa.Table.from_pylist([of_the_hub(func_name=f"add{row}") for row in range(3)]), "csn/a.parquet")
    assert collect(workspace, codesearchnet()).returncode == 0
    assert rows_of(workspace) == first
    row = first[0]
    assert row["code"] == "def add(a, b):\n    total = a + b\n    return total"
    assert (row["docstring"], row["language"], row["line"]) == ("Adds.", "Python", 12)
    assert (row["source"], row["path"], row["license"]) == ("codesearchnet/owner/repo", "maths/add.py", "")


def test_code_that_is_no_single_function_stays_as_it_is() -> None:
    assert without_docstring("x = 1", "Python") == "x = 1"
    assert without_docstring("func f() { g() }", "Go") == "func f() { g() }"


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def after_a_good_row(bad: bytes) -> Callable[[Path], object]:
    return lambda file: write_gz(file, [*lines(1), bad])


def varied_rows() -> list[bytes]:
    rows = (published(func_name=f"f{row * 7919}", docstring=str(row * 104729) * 9) for row in range(60))
    return [json.dumps(row).encode() for row in rows]


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (lambda file: cut(write_gz(file, varied_rows())), "cut off here"),
    "not gzip": (lambda file: file.write_bytes(b"\n".join(lines(2))), "not gzip"),
    "not UTF-8": (after_a_good_row(b'{"repo": "caf\xe9"}'), "not UTF-8"),
    "missing column": (after_a_good_row(b'{"repo": "owner/repo", "path": "a.py"}'), "no column func_name"),
    "not JSON": (after_a_good_row(b"{oops"), "not JSON"),
    "not an object": (after_a_good_row(b"[1]"), "not a JSON object"),
    "unknown language": (
        after_a_good_row(json.dumps(published(language="cobol")).encode()),
        "unknown language 'cobol'",
    ),
    "half a character": (after_a_good_row(json.dumps(published(docstring="\ud800")).encode()), "no text: surrogates"),
    "no text": (after_a_good_row(json.dumps(published(code=None)).encode()), "code is no text"),
}


@pytest.mark.parametrize("damage", BAD_FILES)
def test_bad_rows_are_set_aside_with_file_and_line(workspace: Workspace, damage: str) -> None:
    write_gz(Path("csn/good.jsonl.gz"), lines(4))
    write, reason = BAD_FILES[damage]
    write(Path("csn/bad.jsonl.gz"))
    result = collect(workspace, codesearchnet())
    assert result.returncode == 0, result.stderr
    (entry,) = map(json.loads, Path("data/functions/set_aside.jsonl").read_text().splitlines())
    assert entry["file"] == "bad.jsonl.gz"
    assert reason in entry["reason"]
    expected = {"not gzip": 1, "cut": json.loads(Path("metrics/collect.json").read_text())["rows"] - 4 + 1}
    assert entry["line"] == expected.get(damage, 2)
    assert json.loads(Path("metrics/collect.json").read_text())["set_aside_rows"] == 1


def test_a_parquet_file_without_a_column_counts_with_all_its_rows(workspace: Workspace) -> None:
    write_gz(Path("csn/good.jsonl.gz"), lines(4))
    rows = [{key: value for key, value in of_the_hub().items() if key != "func_code_string"} for _ in range(3)]
    rows = [{key: value for key, value in row.items() if key != "whole_func_string"} for row in rows]
    pq.write_table(pa.Table.from_pylist(rows), "csn/bad.parquet")
    assert collect(workspace, codesearchnet()).returncode == 0
    assert json.loads(Path("metrics/collect.json").read_text())["set_aside_rows"] == 3
    assert "no column code" in Path("data/functions/set_aside.jsonl").read_text()


def test_a_damaged_parquet_file_is_set_aside(workspace: Workspace) -> None:
    write_gz(Path("csn/good.jsonl.gz"), lines(4))
    pq.write_table(pa.Table.from_pylist([of_the_hub()]), "csn/bad.parquet")
    Path("csn/bad.parquet").write_bytes(Path("csn/bad.parquet").read_bytes()[:-10])
    assert collect(workspace, codesearchnet()).returncode == 0
    assert "not parquet" in Path("data/functions/set_aside.jsonl").read_text()


def test_too_many_bad_rows_stop_the_run_and_nothing_is_sealed(workspace: Workspace) -> None:
    write_gz(Path("csn/bad.jsonl.gz"), [*lines(3), b"{oops"])
    result = collect(workspace, codesearchnet(), share=0.2)
    assert result.returncode == 3
    assert "1 of 4 rows are unreadable, more than collect.max_bad_share (0.2)" in result.stderr
    assert "codesearchnet, bad.jsonl.gz, line 4: not JSON" in result.stderr
    assert not Path("data/functions").exists()


def test_a_limit_on_codesearchnet_takes_by_id(workspace: Workspace) -> None:
    rows = [json.dumps(published(code=f"def f{i}(a):\n    b = a + {i}\n    return b")).encode() for i in range(30)]
    write_gz(Path("csn/a.jsonl.gz"), rows)
    assert collect(workspace, codesearchnet(take={"Python": 5})).returncode == 0
    taken = {row["id"] for row in rows_of(workspace)}
    assert collect(workspace, codesearchnet()).returncode == 0
    assert taken == set(sorted(row["id"] for row in rows_of(workspace))[:5])


def test_a_hub_dataset_that_cannot_be_had_is_named(workspace: Workspace) -> None:
    workspace.set("collect.sources", [{"kind": "codesearchnet", "hub": "owner/name", "revision": "0" * 40}])
    result = workspace.run("collect", HF_HUB_OFFLINE="1", HF_HOME=str(workspace.path))
    assert result.returncode == 3, result.stderr
    assert f"dataset owner/name at {'0' * 40} cannot be had from the hub" in result.stderr


# Bad input


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"kind": "rumour", "name": "x"}, "'rumour'"),
        ({**wheel("0" * 64), "registry": "cpan"}, "'pip', 'npm' or 'apt'"),
        ({**wheel("12")}, "sha256"),
        ({**wheel("0" * 64), "versoin": "1"}, "versoin: unknown key"),
        ({**tree(Path("tree")), "take": {"Cobol": 3}}, "Cobol"),
        ({**tree(Path("absent"))}, "source absent does not exist"),
        ({"kind": "codesearchnet", "path": "absent"}, "CodeSearchNet source absent does not exist"),
        ({"kind": "codesearchnet", "path": "."}, "no *.jsonl.gz and no *.parquet"),
        ({"kind": "codesearchnet"}, "name either path or hub"),
        ({"kind": "codesearchnet", "hub": "owner/name"}, "pin the hub's revision"),
    ],
)
def test_bad_sources_are_refused_by_name(workspace: Workspace, source: dict[str, Any], message: str) -> None:
    result = collect(workspace, source)
    assert result.returncode == 3, result.stderr
    assert message in result.stderr


def test_an_empty_corpus_is_refused(workspace: Workspace) -> None:
    Path("tree").mkdir()
    Path("tree/notes.txt").write_text("no code here")
    result = collect(workspace, tree(Path("tree")))
    assert result.returncode == 3
    assert "the corpus is empty" in result.stderr


def test_a_bad_pattern_is_named(workspace: Workspace) -> None:
    shutil.copytree(SOURCES, "tree")
    workspace.set("collect.shape.omit_names", ["("])
    result = collect(workspace, tree(Path("tree")))
    assert result.returncode == 3
    assert "collect.shape.omit_names" in result.stderr
