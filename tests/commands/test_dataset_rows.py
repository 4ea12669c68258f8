"""make dataset DATA=rows.jsonl: another tool's rows, judged with one command, where no code is collected."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import endpoint
import pytest
from clones import Street
from workspace import REPOSITORY, Workspace

from commands import dataset
from commands.dataset import sizing
from executors import endpoints, parameters, profiles
from stages.lib import params
from stages.lib.errors import BadInput


def row(number: int, **changes: Any) -> dict[str, Any]:
    body = f"    kept = [one * {number + 2} for one in items]\n    return sum(kept) - most"
    code = f"def keep_{number}(items, most):\n{body}"
    tests = [f"assert keep_{number}([1], 0) == {number + 2}", f"assert keep_{number}([1, 1], 1) == {2 * number + 3}"]
    asked = f"Write a Python function that sums {number} ways of counted pebbles, less the {number + 7} most."
    return {"problem": asked, "response": f"```python\n{code}\n```", "unit_tests": tests, **changes}


def write(file: Path, rows: list[Any]) -> Path:
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return file


def passing(body: dict[str, Any]) -> str:
    value = json.loads(endpoint.answer_schema(body))
    if not endpoint.is_judgement(value):
        return json.dumps(value)  # the request that tries it
    return json.dumps({rule: {"reason": "as it should be", "verdict": "pass"} for rule in value})


COLUMNS = "instruction=problem output=response tests=unit_tests"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_rows_become_a_dataset_with_one_command_and_only_they_are_read(tmp_path: Path) -> None:
    street = Street(tmp_path / "street", remote="", kept=("generate", "judge", "assemble"))
    (street.path / "profiles").mkdir()

    def make(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "commands", *words],
            cwd=street.path, env=street.env(), capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    file = write(tmp_path / "My Rows.jsonl", [*map(row, range(8)), row(0), row(9, response="")])
    with endpoint.serve() as server:
        server.reply = passing
        words = ["dataset", "--data", str(file), "--license", "MIT", "--columns", COLUMNS]
        words += ["--teacher", server.url, "--model", "stand-in"]
        asked = make(*words)
        assert asked.returncode == 3 and "add YES=1" in asked.stderr, asked.stdout + asked.stderr
        for line in (r"rows +8 of 10 go to checks and judge", r"faults +1, .*: line 10: it has an empty output"):
            assert re.search(line, asked.stdout), asked.stdout
        assert re.search(r"repeats +1 that", asked.stdout) and "requests  " in asked.stdout
        assert len(server.asked) == 1, "one request tries the judge; there is no teacher to try"
        made = make(*words, "--yes", "1")
        assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
        assert "data/dataset: " in made.stdout and "Running stage 'generate@2'" in made.stdout
        judged = len(server.asked)
        again = make(*words, "--yes", "1")
        assert again.returncode == 0 and "Running stage" not in again.stdout, again.stdout
        write(file, [*map(row, range(7)), row(20), row(0), row(9, response="")])
        changed = make(*words, "--yes", "1")
        assert changed.returncode == 0 and "Running stage 'generate@1'" in changed.stdout, changed.stderr[-3000:]
        assert len(server.asked) == judged + 3, "two to try the judge, and the row that changed"
    kept = (street.path / "data/dataset").glob("*.jsonl")
    found = [json.loads(line) for part in kept for line in part.read_text().splitlines()]
    assert len(found) == 8 and {one["license"] for one in found} == {"MIT"}
    assert any("20 ways" in one["instruction"] for one in found) and all(one["tests"] for one in found)
    reads = params.read(street.path / "profile.yaml")["reads"]
    assert reads["corpus"] == str(file) and reads["coreset"] == reads["embeddings"] == profiles.NOTHING
    assert make("profile", "default").returncode == 0
    assert params.read(street.path / "profile.yaml")["reads"]["corpus"] == "data/corpus"


def test_bad_rows_stop_it_before_a_profile_is_written_or_a_model_asked(workspace: Workspace) -> None:
    write(Path("rows.jsonl"), [row(0), row(1, unit_tests=["assert keep_1(open('x'), 1)"] * 2)])
    with pytest.raises(BadInput, match=r"1 of 2 rows of rows\.jsonl .*: line 2: tests: .*it uses open"):
        dataset.main(["--data", "rows.jsonl", "--columns", COLUMNS])
    assert not Path("profiles").exists() and not Path("profile.yaml").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "rows.jsonl", "--source", "code"], "name your code: make dataset SOURCE=.*DATA=rows.jsonl"),
        (["--source", "code", "--license", "MIT"], "LICENSE, LANGUAGE and COLUMNS are of another tool's rows"),
        (["--data", "none.jsonl"], "none.jsonl does not exist"),
        (["--data", "rows.jsonl", "--columns", "output"], "'output' names no column; use COLUMNS="),
        (["--data", "rows.jsonl", "--columns", "answer=x"], r"generate\.foreign: columns\.answer"),
        (["--data", "rows.jsonl", "--language", "Cobol"], "no language 'Cobol'; choose one of Python"),
    ],
)
def test_words_that_do_not_go_together(workspace: Workspace, words: list[str], message: str) -> None:
    write(Path("rows.jsonl"), [row(0)])
    with pytest.raises(BadInput, match=message):
        dataset.main(words)


def test_no_teacher_is_tried_or_planned_for_where_none_is_asked(workspace: Workspace) -> None:
    from commands.plan import teachers

    write(Path("rows.jsonl"), [row(number) for number in range(9)])
    wish = sizing.Wish("", 500, data="rows.jsonl", columns=COLUMNS, teacher="http://localhost:1/v1", model="m")
    held = params.over(params.read(REPOSITORY / "params.yaml"), sizing.values_of_rows(wish, "rows.jsonl"))
    assert [one.who for one in endpoints.models(held)] == ["judge.teacher"]
    planned = teachers.generation(held)
    assert [line.stage for line in planned] == ["judge@1", "judge@2"] and planned[1].requests == 5
    assert "9 rendered prompts" in planned[1].basis
    held["generate"]["tests"]["from"] = "teacher"
    assert len(teachers.generation(held)) == 4 and len(endpoints.models(held)) == 1, "one model, as judge and teacher"


def test_a_file_that_dvc_was_not_told_of_is_named(workspace: Workspace) -> None:
    write(Path("rows.jsonl"), [row(0)])
    Path("dvc.yaml").write_text((REPOSITORY / "dvc.yaml").read_text())
    profiles.write([])
    parameters.refuse_mistakes()
    workspace.set("generate.method", "foreign")
    workspace.set("generate.foreign", {"file": "rows.jsonl"})
    with pytest.raises(
        BadInput, match=r"generate\.foreign: rows\.jsonl is read, but profile\.yaml tells DVC data/corpus"
    ):
        parameters.refuse_mistakes()
