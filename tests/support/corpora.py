"""Real functions for tests that need a corpus: those of the standard library, the same on every run."""

import ast
import hashlib
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from stages.lib import artifacts, records

MODULES = ("textwrap", "heapq", "bisect", "statistics", "random", "shlex", "csv", "ast", "inspect", "pathlib")


def functions(count: int, shortest: int = 50, longest: int = 1600) -> list[dict[str, Any]]:
    """`count` rows of records.FUNCTION, from the standard library's modules in a fixed order."""
    library = Path(sysconfig.get_paths()["stdlib"])
    files = [library / f"{module}.py" for module in MODULES]
    files += [file for file in sorted(library.rglob("*.py")) if "site-packages" not in file.parts and file not in files]
    rows: dict[str, dict[str, Any]] = {}
    for file in files:
        for row in _functions_of(file, library):
            if shortest <= len(row["code"]) <= longest:
                rows.setdefault(row["id"], {**row})
        if len(rows) >= count:
            return list(rows.values())[:count]
    raise AssertionError(f"the standard library holds only {len(rows)} functions of that length")


def write_corpus(rows: list[dict[str, Any]]) -> artifacts.Artifact:
    """data/corpus of the current folder, sealed, holding `rows`."""
    with artifacts.create("data/corpus", stage="filter") as out:
        records.write(out / "corpus.parquet", rows, records.FUNCTION)
    return artifacts.open("data/corpus")


def _segment(lines: list[bytes], node: ast.FunctionDef) -> str:
    """`ast.get_source_segment`, which cuts the whole file into lines for each of its functions."""
    assert node.end_lineno is not None
    first, *rest = lines[node.lineno - 1 : node.end_lineno]
    if not rest:
        return first[node.col_offset : node.end_col_offset].decode()
    whole = [first[node.col_offset :], *rest[:-1], rest[-1][: node.end_col_offset]]
    return b"\n".join(whole).decode()


@cache
def _functions_of(file: Path, library: Path) -> list[dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    lines = [line.encode() for line in text.split("\n")]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            code = _segment(lines, node)
            found.append(
                {
                    "id": hashlib.sha256(b"Python\0" + code.encode()).hexdigest(),
                    "language": "Python",
                    "name": node.name,
                    "code": code,
                    "docstring": ast.get_docstring(node) or "",
                    "source": "the Python standard library",
                    "path": file.relative_to(library).as_posix(),
                    "line": node.lineno,
                    "license": "PSF-2.0",
                    "imports": "",
                }
            )
    return found


def write_vectors(vectors: np.ndarray, corpus_rows: int | None = None) -> None:
    """data/embeddings of `vectors` (n, d), and a data/corpus of as many functions, or of `corpus_rows`."""
    rows = [
        {
            "id": hashlib.sha256(str(number).encode()).hexdigest(),
            "language": ("Python", "Go", "Java")[number % 3],
            "name": f"f{number}",
            "code": f"def f{number}(): return {number}",
            "docstring": "",
            "source": "test",
            "path": "f.py",
            "line": number + 1,
            "license": "MIT",
            "imports": "",
        }
        for number in range(len(vectors) if corpus_rows is None else corpus_rows)
    ]
    with artifacts.create("data/embeddings", stage="embed", inputs=[write_corpus(rows)]) as out:
        np.save(out / "embeddings.npy", vectors)
