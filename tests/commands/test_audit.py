"""A reader's marks against the verdicts of a small run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished import Built
from workspace import Workspace

from commands import audit
from stages.lib import artifacts, statistics
from stages.lib.errors import BadInput
from stages.lib.report.rows import fingerprint

Row = dict[str, Any]


@pytest.fixture
def built(workspace: Workspace) -> Built:
    return Built()


def verdicts(built: Built) -> list[Row]:
    return [row for rows in built.verdicts.values() for row in rows]


def write_marks(rows: list[tuple[Row, str]], dataset: str = "", **changed: Any) -> Path:
    dataset = dataset or artifacts.open("data/dataset").root
    marks = [
        {"id": row["id"], "mark": mark, "task": row["task"], "fingerprint": fingerprint(row), "blind": n < 3, **changed}
        for n, (row, mark) in enumerate(rows)
    ]
    file = Path("marks.json")
    file.write_text(json.dumps({"dataset": dataset, "marks": marks}))
    return file


def run(capsys: pytest.CaptureFixture[str], file: Path) -> str:
    audit.main([str(file)])
    return capsys.readouterr().out


def line(text: str, name: str) -> list[str]:
    return next(one for one in text.splitlines() if one.startswith(name)).removeprefix(name).split()


def test_marks_are_compared_with_both_verdicts(built: Built, capsys: pytest.CaptureFixture[str]) -> None:
    rows = verdicts(built)
    marked = [
        (row, "right" if row["passed"] == bool(n) else "wrong") for n, row in enumerate(rows)
    ]  # the first differs
    told = run(capsys, write_marks(marked))
    passed = sum(row["passed"] for row in rows)
    differs = rows[0]["passed"]
    counts = [passed - differs, not differs, differs, len(rows) - passed - (not differs)]
    assert told.startswith(f"{len(rows)} marks compared, 3 of them made with the verdicts hidden")
    whole, alone = told.split("Your marks and the judge alone")
    assert line(whole, "all tasks")[:5] == [str(len(rows)), *(str(int(count)) for count in counts)]
    assert f"{100 * (len(rows) - 1) / len(rows):.1f}%" in whole
    ruled = [row for row in rows if any(one["kind"] == "judge" for one in row["rulings"])]
    assert line(alone, "all tasks")[0] == str(len(ruled)) and len(ruled) < len(rows)
    for task in {row["task"] for row in rows}:
        assert line(whole, task)[0] == str(sum(row["task"] == task for row in rows))
    assert f"{rows[0]['id'][:16]}  " in alone and told.count("make trace") == 1
    assert "another dataset" not in told


def test_marks_outlive_a_new_judge_but_not_a_new_text(built: Built, capsys: pytest.CaptureFixture[str]) -> None:
    rows = verdicts(built)
    gone = {**rows[1], "id": "0" * 64}
    edited = {**rows[2], "solution": "another"}
    told = run(capsys, write_marks([(rows[0], "right"), (gone, "right"), (edited, "wrong")], dataset="another"))
    assert "1 mark compared" in told
    assert "1 mark of rows that have no verdict here" in told
    assert "1 mark of rows whose text is another now" in told
    assert "made on another dataset" in told
    with pytest.raises(BadInput, match="of its 1 mark, none is of a row"):
        audit.main([str(write_marks([(gone, "right")]))])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ('{"marks": []}', "dataset: Field required"),
        (
            '{"dataset": "", "marks": [{"id": "a", "mark": "maybe", "fingerprint": ""}]}',
            "marks.0.mark: Input should be",
        ),
    ],
)
def test_a_file_that_holds_no_marks_is_named(built: Built, text: str, message: str) -> None:
    Path("marks.json").write_text(text)
    with pytest.raises(BadInput, match=rf"marks\.json.*{message}"):
        audit.main(["marks.json"])
    with pytest.raises(BadInput, match=r"nothing\.json cannot be read"):
        audit.main(["nothing.json"])
    with pytest.raises(BadInput, match=r"make audit MARKS="):
        audit.main([])


def pairs(both: int, mine: int, other: int, neither: int) -> list[tuple[bool, bool]]:
    return [(True, True)] * both + [(True, False)] * mine + [(False, True)] * other + [(False, False)] * neither


def test_kappas_interval_is_the_normal_one_where_rows_are_many() -> None:
    found = audit.kappa_interval(pairs(800, 100, 150, 950))
    # Fleiss, Cohen and Everitt 1969, as Fleiss, Levin and Paik, "Statistical Methods for Rates and Proportions", 18.16.
    table = np.array([[800, 100], [150, 950]]) / 2000
    agreed, row, column = np.trace(table), table.sum(axis=1), table.sum(axis=0)
    chance = float(row @ column)
    kappa = (agreed - chance) / (1 - chance)
    a = sum(table[i, i] * (1 - (row[i] + column[i]) * (1 - kappa)) ** 2 for i in range(2))
    b = (1 - kappa) ** 2 * sum(table[i, j] * (column[i] + row[j]) ** 2 for i in range(2) for j in range(2) if i != j)
    error = float(np.sqrt((a + b - (kappa - chance * (1 - kappa)) ** 2) / 2000) / (1 - chance))
    assert found == pytest.approx((kappa - 1.96 * error, kappa + 1.96 * error), abs=0.004)


def test_kappas_interval_holds_the_truth_in_19_of_20_cases() -> None:
    truth = np.array([0.3, 0.1, 0.15, 0.45])
    chance = 0.4 * 0.45 + 0.6 * 0.55
    kappa = (0.75 - chance) / (1 - chance)
    samples = np.random.default_rng(1).multinomial(40, truth, size=200)
    held = [low <= kappa <= high for low, high in (audit.kappa_interval(pairs(*map(int, one))) for one in samples)]
    assert 0.91 <= np.mean(held) <= 0.99


def test_few_rows_in_full_agreement_do_not_make_kappa_certain() -> None:
    low, high = audit.kappa_interval(pairs(3, 0, 0, 3))
    assert high == 1.0 and low < 0.5
    assert statistics.kappa(pairs(4, 0, 0, 0)) is None, "undefined"
    low, high = audit.kappa_interval(pairs(4, 0, 0, 0))
    assert low < 0 < high
