"""make plan: how many candidates a target is expected to take."""

import json
from pathlib import Path
from typing import Any

import pytest

from commands.plan import teachers, until
from stages.lib import params

ROOT = Path(__file__).parents[2]
MIX = {"code generation": 60.0, "code repair": 40.0}


def judged(number: int, **tasks: tuple[int, int]) -> None:
    by_task = {name.replace("_", " "): {"rows": rows, "passed": passed} for name, (rows, passed) in tasks.items()}
    passed = sum(one["passed"] for one in by_task.values())
    told = {"candidates": sum(one["rows"] for one in by_task.values()), "passed": passed, "by_task": by_task}
    Path(f"metrics/judge-{number}.json").write_text(json.dumps(told))


def expected(target: dict[str, Any] | None, number: int = 2) -> tuple[int, str]:
    settings = {"rows_per_round": 100, "tasks_per_function": 1, "rounds": 2, "mix": MIX, "until": target}
    return until.rows(settings, number)


def test_the_plan_goes_by_the_pass_rates_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("metrics").mkdir()
    assert expected(None) == (100, "") == expected({"passing": 9}, number=1)
    assert expected({"passing": 500})[0] == 1000 and "50% assumed" in expected({"passing": 500})[1]
    judged(1, code_generation=(60, 48), code_repair=(40, 10))
    rows, why = expected({"passing": 500, "candidates": 9000, "usd": 40.0})
    assert rows == 763  # 442 more at 58%
    assert "442 more that pass, 58% of 100 passed so far" in why and "or until 9,000 candidates or 40 US dollars" in why
    assert expected({"passing": 500, "candidates": 300})[0] == 200, "of which round 1 had 100"
    rows, why = expected({"passing": 500, "per": "task"})
    assert rows == 315 + 760  # 252 more at 80%, 190 at 25%
    assert "code repair: 190 more that pass, 25% of 40 passed so far" in why
    judged(2, code_generation=(100, 100))
    assert "74% of 200 passed" not in expected({"passing": 500})[1]
    assert "79% of 200 passed so far" in expected({"passing": 500})[1], "a last run of the round itself counts as well"
    assert expected({"candidates": 700})[0] == 600


@pytest.mark.parametrize(
    ("extra", "skipped", "judged_rows"), [(False, False, 100), (True, False, 160), (3, False, 360), (3, True, 100)]
)
def test_the_judge_is_asked_about_planted_rows_too(extra: bool | int, skipped: bool, judged_rows: int) -> None:
    values = params.merged(ROOT / "params.yaml")
    values["generate"] |= {"rows_per_round": 100, "mix": MIX, "repair": {"bug": "mutation", "extra": extra}}
    values["judge"] |= {"audit": {"seeds": 0, "candidates": 0.0}, "skip_unasked": skipped}
    requests = {line.stage: line.requests for line in teachers.generation(values)}
    assert requests["generate@2"] == 100 and requests["judge@2"] == judged_rows
