"""Several answers to one instruction, and which of them are kept."""

import json
import random
import re
from pathlib import Path
from typing import Any

import endpoint
import pytest
from instances import prepare, root
from workspace import Workspace

from stages import generate, judge
from stages.lib import artifacts, dataset, records
from stages.lib.errors import BadInput
from stages.lib.judging import keeping

WORDS = [first + last for first in ("ba", "de", "fi", "go", "lu", "mo") for last in ("ran", "sel", "tin", "vor", "wex")]
TESTS = ["assert candidate(2) == 4", "assert candidate(5) == 10"]


def reply(body: dict[str, Any]) -> str:
    """Problems that differ; solutions that double a number, every third one wrongly; tests; judgements that pass."""
    schema = body["response_format"]["json_schema"]["schema"]["properties"]
    drawn = random.Random(endpoint.identity(body))
    if "tests" in schema:
        return json.dumps({"tests": TESTS})
    value = json.loads(endpoint.answer_schema(body))
    if "instruction" in value:
        value["instruction"] = f"Write a Python function that {' '.join(drawn.sample(WORDS, 12))}."
    if "solution" in value:
        factor, name = (3 if drawn.random() < 0.33 else 2), drawn.choice(WORDS)
        filler = "\n".join(f"    {word} = {place}" for place, word in enumerate(drawn.sample(WORDS, 9)))
        value["solution"] = f"def {name}(value):\n{filler}\n    return value * {factor}"
    if endpoint.is_judgement(value):
        for rule in value.values():
            rule["verdict"] = "pass"
    return json.dumps(value)


@pytest.fixture
def server() -> Any:
    with endpoint.serve() as served:
        served.reply = reply
        yield served


def inspired(workspace: Workspace, url: str, answers: int) -> None:
    prepare(workspace, url)
    workspace.set("generate.method", "inspired")
    workspace.set("generate.rows_per_round", 6)
    workspace.set("generate.answers", answers)
    workspace.set("generate.tests.from", "teacher")


def read(name: str, schema: Any) -> list[dict[str, Any]]:
    return [
        dict(row) for row in records.read(artifacts.open(Path(name).parent).file(Path(name).name), schema).to_pylist()
    ]


@pytest.mark.toolchain
def test_several_answers_are_asked_for_and_the_best_that_passes_is_kept(
    workspace: Workspace, server: endpoint.StandIn
) -> None:
    inspired(workspace, server.url, 4)
    generate.main("1")
    made, asked = root("data/candidates/1"), len(server.asked)
    candidates = read("data/candidates/1/candidates.parquet", records.CANDIDATE)
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in candidates:
        groups.setdefault(row["question"], []).append(row)
    assert len(groups) == 6 and {len(rows) for rows in groups.values()} == {4}
    assert len({row["id"] for row in candidates}) == 24
    for question, rows in groups.items():
        assert rows[0]["id"] == question, "the first answer is the question's own"
        assert len({row["instruction"] for row in rows}) == 1 and len({row["solution"] for row in rows}) == 4
        assert all(row["tests"] == TESTS for row in rows), "all answers are put to the same tests"
    further = [body for body in server.bodies if "You solve programming tasks" in body["messages"][0]["content"]]
    assert len(further) == 18 and len({body["seed"] for body in further}) == 18
    assert len({json.dumps(body["messages"]) for body in further}) == 6, "told apart by seed alone"
    generate.main("1")
    assert root("data/candidates/1") == made and len(server.asked) == asked
    exchanges = read("data/candidates/1/exchanges.parquet", records.EXCHANGE)
    assert {row["request"] for row in candidates} <= {row["request"] for row in exchanges}, "each can be traced"

    judge.main("1")
    verdicts = read("data/verdicts/1/verdicts.parquet", records.VERDICT)
    passing = [row for row in verdicts if row["passed"]]
    assert len(passing) == len({row["question"] for row in passing}) > 3, "one each"
    assert all(row["execution"] == "passed" and "* 2" in row["solution"] for row in passing)
    over = read("data/verdicts/1/passed_over.parquet", keeping.PASSED_OVER)
    kept = {row["id"]: row for row in passing}
    for row in over:
        best = kept[row["instead"]]
        assert best["question"] == row["question"] and len(best["solution"]) <= len(row["solution"])
    told = json.loads(Path("metrics/judge-1.json").read_text())["answers"]
    assert told == {"questions": 6, "with_one_that_passes": len(passing), "passed_over": len(over)}
    workspace.set("judge.keep", "all")
    judge.main("1")
    every = [row for row in read("data/verdicts/1/verdicts.parquet", records.VERDICT) if row["passed"]]
    assert len(every) == len(passing) + len(over)


def verdict(number: int, question: str, solution: str, passed: bool = True) -> dict[str, Any]:
    return {"id": f"{number}", "question": question, "solution": solution, "passed": passed}


LONG = "def f(a, b, c):\n    total = a + b\n    for one in c:\n        total += one * a\n    return total + b\n"


def test_what_is_kept() -> None:
    rows = [
        verdict(0, "0", LONG),
        verdict(1, "0", LONG + "\n"),
        verdict(2, "0", "return sum(values)"),
        verdict(3, "0", "x", passed=False),
        verdict(4, "4", "alone"),
    ]

    def kept(keep: keeping.Keep, **certain: float) -> list[str]:
        found, over = keeping.choose(rows, {key[1:]: value for key, value in certain.items()}, keep)
        assert len(found) + len(over) == len(rows) and {row["instead"] for row in over} <= {row["id"] for row in found}
        return [row["id"] for row in found]

    assert kept("all") == ["0", "1", "2", "3", "4"]
    assert kept("passing") == ["0", "2", "3", "4"], "1 is 0 again"
    assert kept("best") == ["2", "3", "4"], "the shortest"
    assert kept("best", _0=0.9, _1=0.95, _2=0.5) == ["1", "3", "4"], "the judge's"
    untold = [{**row, "question": None} for row in rows]
    assert keeping.choose(untold, {}, "best") == (untold, []), "rows of a round with one answer each"


def test_all_answers_to_a_question_fall_into_one_split() -> None:
    question = "f" * 64
    rows = [{"id": f"{number:064x}", "question": question} for number in range(40)]
    assert {dataset.split_of(row, 0.5) for row in rows} == {"train"}
    assert dataset.split_of({"id": "0" * 64}, 0.5) == dataset.split("0" * 64, 0.5) == "validation"


def test_answers_that_nobody_could_give_are_refused(workspace: Workspace, server: endpoint.StandIn) -> None:
    prepare(workspace, server.url)
    workspace.set("generate.mix", {"code generation": 1.0, "code repair": 1.0})
    before = (workspace.path / "params.yaml").read_text()
    for changes, message in (
        ({"answers": 0}, "generate.answers: Input should be greater than 0"),
        ({"answers": 3}, "generate.answers: 3, but the raw code is the solution of code generation, code repair"),
    ):
        (workspace.path / "params.yaml").write_text(before)
        for key, value in changes.items():
            workspace.set(f"generate.{key}", value)
        with pytest.raises(BadInput, match=re.escape(message)):
            generate.main("1")
    (workspace.path / "params.yaml").write_text(before)
    workspace.set("judge.keep", "some")
    with pytest.raises(BadInput, match=r"judge\.keep: Input should be 'all', 'passing' or 'best'"):
        judge.main("1")
    assert not server.asked
