"""How many candidates the last round is expected to take to reach generate.until, by the pass rates so far."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from stages.lib import artifacts
from stages.lib.dataset.rows import entries
from stages.lib.methods import bringing, goal

ASSUMED = 0.5  # pass rate where no round has been judged yet


def rows(generate: dict[str, Any], number: int) -> tuple[int, str]:
    """The candidates that round `number` is expected to take, or its share of another tool's rows; and in words why
    ("" if it has a fixed size)."""
    if generate.get("foreign"):
        return math.ceil(len(entries(Path(generate["foreign"]["file"]), bringing.KEY)) / generate["rounds"]), ""
    fixed = generate["rows_per_round"] * generate["tasks_per_function"] * generate.get("answers", 1)
    if generate.get("until") is None or number != generate["rounds"]:
        return fixed, ""
    until = goal.Until.model_validate(generate["until"])
    judged = [one for one in map(_metrics, range(1, number + 1)) if one]
    earlier = [one for one in map(_metrics, range(1, number)) if one]
    before = sum(one["candidates"] for one in earlier) if earlier else (number - 1) * fixed
    most = math.inf if until.candidates is None else max(0, until.candidates - before)
    if until.passing is None:
        end = (
            f"there are {until.candidates:,} candidates" if until.candidates else f"{until.usd:g} US dollars are spent"
        )
        return int(fixed if most == math.inf else most), f"generate@{number} goes on until {end}"
    by = {"task": "by_task", "language": "by_language"}.get(until.per or "")
    asked, passed, had = Counter[str](), Counter[str](), Counter[str]()
    for one in judged:
        for group, counts in (one[by] if by else {goal.ALL: _total(one)}).items():
            asked[group] += counts["rows"]
            passed[group] += counts["passed"]
            had[group] += counts["passed"] if one in earlier else 0
    quotas = goal.share_out(until, generate["mix"], sorted(asked))
    needed, words = 0, []
    for group, quota in quotas.items():
        rate = passed[group] / asked[group] if passed[group] else ASSUMED
        lacks = max(0, quota - had[group])
        needed += math.ceil(lacks / rate)
        how = f"{rate:.0%} of {asked[group]} passed so far" if passed[group] else f"{rate:.0%} assumed"
        words.append(f"{group}: {lacks:,} more that pass, {how}")
    return int(min(needed, most)), (
        f"generate@{number} goes on until {until.passing:,} rows pass ({'; '.join(words)}), with about {needed:,} "
        f"candidates{_caps(until)}"
    )


def _metrics(number: int) -> dict[str, Any] | None:
    file = Path("metrics") / f"judge-{number}.json"
    return dict(artifacts.read_json(file)) if file.is_file() else None


def _total(metrics: dict[str, Any]) -> dict[str, int]:
    return {"rows": sum(one["rows"] for one in metrics["by_task"].values()), "passed": metrics["passed"]}


def _caps(until: goal.Until) -> str:
    caps = [f"{until.candidates:,} candidates"] if until.candidates else []
    caps += [f"{until.usd:g} US dollars"] if until.usd else []
    return f", or until {' or '.join(caps)}" if caps else ""
