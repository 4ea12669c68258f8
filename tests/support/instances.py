"""A small corpus and coreset as artifacts, and a workspace whose teacher and judge are a stand-in endpoint."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
from workspace import Workspace

from stages.lib import artifacts, records

TASKS = ("code generation", "code summarization", "code repair", "code translation")
ORDER = pa.schema([("order", pa.int32()), ("id", pa.string())])


def function(number: int) -> dict[str, Any]:
    code = f"def add_{number}(value):\n    total = value + {number}\n    return total * {number}"
    identity = hashlib.sha256(f"Python\0{code}".encode()).hexdigest()
    return {
        "id": identity,
        "language": "Python",
        "name": f"add_{number}",
        "code": code,
        "docstring": f"Add {number} and multiply.",
        "source": "test",
        "path": "a.py",
        "line": 1,
        "license": "MIT",
        "imports": "",
    }


def row(number: int) -> dict[str, Any]:
    """A row of records.INSTANCE, made from `function(number)`."""
    made_from = function(number)
    return {
        "id": artifacts.digest(number),
        "task": "code generation",
        "language": "Python" if number % 2 else "Go",
        "instruction": f"Write a function that adds {number} – and “quotes”.",
        "input": "" if number % 3 else f"x = {number}\n",
        "output": made_from["code"],
        "round": 1,
        "function_id": made_from["id"],
        "source": "test",
        "path": "a.py",
        "license": "MIT",
        "request": "",
        "judge_request": "",
        "tests": [f"assert candidate({number}) == 0"] if number % 2 else [],
    }


def prepare(workspace: Workspace, url: str, rows: int = 40) -> None:
    """Seal a corpus of `rows` functions, all chosen, and point both stages at `url`."""
    functions = [function(number) for number in range(rows)]
    with artifacts.create("data/corpus", stage="filter") as out:
        records.write(out / "corpus.parquet", functions, records.FUNCTION)
    with artifacts.create("data/coreset", stage="coreset") as out:
        order = [{"order": number, "id": row["id"]} for number, row in enumerate(functions)]
        records.write(out / "coreset.parquet", order, ORDER)
    for stage in ("generate", "judge"):
        for key, value in {
            "base_url": url,
            "model": "stand-in",
            "schema_limits": False,
            "concurrency": 4,
            "patience_s": 2.0,
            "timeout_s": 5.0,
        }.items():
            workspace.set(f"{stage}.teacher.{key}", value)
    workspace.set("generate.rows_per_round", 12)
    workspace.set("judge.audit.seeds", 0)  # tests count requests
    workspace.set("judge.answers", "reasons")  # the stand-in has no probabilities


def root(path: str) -> str:
    return artifacts.open(Path(path)).root
