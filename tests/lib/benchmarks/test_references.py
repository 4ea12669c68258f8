"""A benchmark's own solutions as rows."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.lib import records
from stages.lib.benchmarks import references
from stages.lib.benchmarks.validation import Validation
from stages.lib.dataset import material
from stages.lib.errors import BadInput


def chosen(benchmark: str, problems: int, skip: int = 0) -> Validation:
    return Validation(benchmark=benchmark, skip=skip, problems=problems)


def test_humaneval_s_solutions_are_whole_functions() -> None:
    rows = references.rows(chosen("humaneval", 3, skip=1))
    assert [row["id"] for row in rows] == ["HumanEval/1", "HumanEval/2", "HumanEval/3"]
    for row in rows:
        assert row["instruction"].startswith("Write the Python function ") and not row["input"]
        assert ast.get_docstring(ast.parse(row["output"]).body[-1]) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mbpp", "humanevalfix-python"])
def test_each_answers_its_prompt(name: str, shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("mbpp" if name == "mbpp" else "humanevalpack").parent
    for row in references.rows(chosen(name, 20), folder):
        defined = {node.name for node in ast.walk(ast.parse(row["output"])) if isinstance(node, ast.FunctionDef)}
        assert any(name in row["instruction"] + row["input"] for name in defined), row


def test_what_has_no_one_solution_is_refused(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("humanevalpack").parent
    with pytest.raises(BadInput, match="no solution to its first step"):
        references.rows(chosen("humanevalexplain-python", 3), folder)
    with pytest.raises(BadInput, match=r"train\.validation_benchmark: no benchmark 'humanevil'"):
        references.rows(chosen("humanevil", 3))
    with pytest.raises(BadInput, match="900 problems asked for"):
        references.rows(chosen("humaneval", 900))


def test_they_are_validated_on_and_not_trained_on(tmp_path: Path) -> None:
    solutions = references.rows(chosen("humaneval", 2))
    file = tmp_path / "rows.jsonl"
    other = {"instruction": "Add.", "input": "", "output": "a + b"}
    records.write_lines(file, [other, {key: solutions[0][key] for key in other}])
    given = material.gather(str(file), 0.0, None, None, [], 0, solutions)
    assert [row["output"] for row in given.train] == ["a + b"] and given.validation == solutions
    assert len(given.source["validation_sha256"]) == 64
    with pytest.raises(BadInput, match="keep one of them"):
        material.gather(str(file), 0.0, str(file), None, [], 0, solutions)
