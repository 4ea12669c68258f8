"""Rows with tests as tasks for reinforcement learning.

reward   a line a task, for TRL's GRPOTrainer with `tidemill.Reward`: prompt, tests, language, entry_point, solution
harbor   a folder a task (harborframework.com/docs/tasks, schema 1.4): instruction, container, tests, solution
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stages.lib import artifacts, templates
from stages.lib.errors import BadInput
from stages.lib.models import prompts

HARBOR = Path(__file__).parent / "harbor"
WIRE = Path(artifacts.__file__).parent / "sandbox/inside/wire.py"  # plain values between a candidate and its tests
MODES = {"test.sh": 0o755, "solve.sh": 0o755, "tests.json": 0o600}  # the solution runs as nobody, who must not read it
Row = dict[str, Any]


def of(row: Row, where: str) -> Row | None:
    """The task that `row` makes, less its prompt; None for a row without tests.

    Raises `BadInput`, naming the row, for tests that cannot be run: of another language, of other names, or of nothing.
    """
    from stages.lib.tasks import unit_tests

    lines = [line.strip() for line in row.get("tests") or []]
    if not lines:
        return None
    name = f"{where}: row {row['id']}"
    if row["language"] not in unit_tests.languages():
        known = ", ".join(unit_tests.languages())
        raise BadInput(f"{name} has tests in {row['language']}, but they can be run in {known}; drop its tests")
    for line in lines:
        if fault := unit_tests.fault_of(line):
            raise BadInput(f"{name}: the test {line!r} may not be run: {fault}; drop it")
    entry_point = unit_tests.entry_point(row["output"], row["language"])
    fitting = unit_tests.runnable(row["output"], row["language"], lines)[2] if entry_point else []
    if not fitting:
        raise BadInput(f"{name}: its output has no function that its tests could call; drop its tests")
    return {"language": row["language"], "entry_point": entry_point, "tests": fitting, "solution": row["output"]}


def all_of(rows: Iterable[tuple[str, Row]], where: str) -> list[tuple[str, Row, Row]]:
    """Split, row and task of each row with tests. Raises `BadInput` if there is none."""
    found = [(split, row, task) for split, row in rows if (task := of(row, where))]
    if not found:
        raise BadInput(f"{where}: no row has tests; set generate.tests.languages, and let judge run them")
    return found


def line(split: str, row: Row, task: Row) -> Row:
    """The task as a row for TRL's GRPOTrainer."""
    meta = {name: value for name, value in row.items() if name not in ("instruction", "input", "output", "tests")}
    return {"prompt": prompts.messages(row)[:-1], **task, "split": split, "meta": meta}


def write_harbor(folder: Path, tasks: list[tuple[str, Row, Row]]) -> int:
    """Write each Python task into a folder of its own in `folder`; returns how many.

    The folder appears whole or not at all. Raises `BadInput` if it is there, or if no task is in Python.
    """
    if folder.exists():
        raise BadInput(f"{folder} exists; name another folder, or remove it")
    python = [one for one in tasks if one[2]["language"] == "Python"]
    if not python:
        raise BadInput("no task is in Python, whose tests alone run outside of Tidemill's sandbox; use FORMAT=reward")
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for split, row, task in python:
        _write_task(part / row["id"][:16], split, row, task)
    part.rename(folder)
    return len(python)


def _write_task(folder: Path, split: str, row: Row, task: Row) -> None:
    facts = {
        "id": row["id"],
        "name": f"tidemill/{row['id'][:16]}",
        "split": split,
        "entry_point": task["entry_point"],
        "license": row.get("license", ""),
        "source": row.get("source", ""),
        "kind": row["task"],
    }
    quoted = {name: json.dumps(value) for name, value in facts.items()}  # a TOML basic string
    asked = {"asked": prompts.asked(row), "entry_point": task["entry_point"]}
    files = {
        "instruction.md": templates.render(HARBOR / "instruction.md.j2", asked),
        "task.toml": templates.render(HARBOR / "task.toml.j2", quoted),
        "environment/Dockerfile": (HARBOR / "Dockerfile").read_text(),
        "tests/Dockerfile": (HARBOR / "tests.Dockerfile").read_text(),
        "tests/test.sh": (HARBOR / "test.sh").read_text(),
        "tests/check.py": (HARBOR / "check.py").read_text(),
        "tests/candidate.py": (HARBOR / "candidate.py").read_text(),
        "tests/wire.py": WIRE.read_text(),
        "tests/tests.json": json.dumps({"entry_point": task["entry_point"], "tests": task["tests"]}, indent=1) + "\n",
        "solution/solve.sh": '#!/bin/bash\ncp "$(dirname "$0")/solution.py" /app/solution.py\n',
        "solution/solution.py": task["solution"].rstrip("\n") + "\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(MODES.get(Path(name).name, 0o644))
