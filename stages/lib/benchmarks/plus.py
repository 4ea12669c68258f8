"""HumanEval+ and MBPP+ (EvalPlus, Liu et al. 2023, arXiv 2305.01210), from the file of one of their releases.

Two forms are read. EvalPlus's own (HumanEvalPlus*.jsonl[.gz], MbppPlus*.jsonl[.gz]) has inputs alone: the expected
values are what the canonical solution answers (expected.py), compared by EvalPlus's rules (plus_check.py). The hub's
(evalplus/humanevalplus and evalplus/mbppplus, Parquet or JSON lines) has a `test`, which is run as it stands.
Format: evalplus/data/humaneval.py and mbpp.py of the package evalplus 0.3.1.
"""

import json
import re
from typing import Any

from stages.lib.errors import BadInput


def fields(row: dict[str, Any], spec: dict[str, Any]) -> dict[str, str]:
    """The fields of `catalog.Problem`. Raises `BadInput` for a row of neither form, or of another benchmark."""
    task_id = str(row.get("task_id", ""))
    if task_id.isdecimal():  # the hub's MBPP+
        task_id = f"{spec['prefix']}{task_id}"
    if not re.fullmatch(rf"{re.escape(spec['prefix'])}\d+", task_id):
        raise BadInput(
            f"{spec['name']}: task_id {task_id!r} is another benchmark's; its own are like {spec['prefix']}2"
        )
    row = {**row, "task_id": task_id}
    try:
        return _released(row, spec) if "base_input" in row else _of_hub(row)
    except KeyError as error:
        raise BadInput(f"{spec['name']}: {task_id} lacks {error}; take a file of EvalPlus's or of the hub's") from None


def _released(row: dict[str, Any], spec: dict[str, Any]) -> dict[str, str]:
    entry = row["entry_point"]
    oracle = {
        "inputs": [row["base_input"], row["plus_input"]],
        "atol": row["atol"],
        "oracle": next((oracle for oracle, names in spec["oracles"].items() if entry in names), "equal"),
        "conversion": _conversion(row["task_id"], spec),
    }
    return {
        "task_id": row["task_id"],
        "prompt": row["prompt"],
        "entry_point": entry,
        "canonical_solution": row["canonical_solution"],
        "test": "",
        "oracle": json.dumps(oracle),
    }


def _conversion(task_id: str, spec: dict[str, Any]) -> str:
    number = int(task_id.rpartition("/")[2])
    return next((name for name, numbers in spec.get("conversions", {}).items() if number in numbers), "none")


def _of_hub(row: dict[str, Any]) -> dict[str, str]:
    """HumanEval+'s test defines check(candidate); MBPP+'s calls the function by its name as it is loaded."""
    if "entry_point" in row:
        return {key: row[key] for key in ("task_id", "prompt", "entry_point", "canonical_solution", "test")}
    called = re.search(r"\b(\w+)\(\*inp\)", row["test"])
    if called is None:
        raise BadInput(f"{row['task_id']}: its test calls no function on its inputs; take the hub's evalplus/mbppplus")
    entry = called[1]
    run = f"exec(compile(TEST, 'its_test.py', 'exec'), {{{entry!r}: candidate, '__name__': 'tests'}})"
    return {
        "task_id": row["task_id"],
        "prompt": f'"""\n{row["prompt"]}\n{row["test_list"][0]}\n"""\n',
        "entry_point": entry,
        "canonical_solution": row["code"],
        "test": f"TEST = {row['test']!r}\n\n\ndef check(candidate):\n    {run}\n",
    }
