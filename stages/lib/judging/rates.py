"""Figures of a judging round: pass rates, and the audit's recall and false alarms with intervals."""

from collections import Counter
from collections.abc import Iterable, Sequence

from stages.lib.judging.panel import stands
from stages.lib.records import Row
from stages.lib.statistics import interval

GOOD = "good"  # the kind of a plant that should pass
WHOLE = "any rule"  # the gate: a row that fails any rule is out


def count(verdicts: Sequence[Row]) -> Row:
    """Rows passed, by task and language, and the failures of each rule."""
    failures = Counter(
        f"{ruling['kind']}: {ruling['rule']}" for row in verdicts for ruling in row["rulings"] if not ruling["passed"]
    )
    return {
        "failed_checks": sum(not stands([one for one in row["rulings"] if one["kind"] == "check"]) for row in verdicts),
        "passed": sum(row["passed"] for row in verdicts),
        "pass_rate": _share_passed(verdicts),
        "by_task": _by(verdicts, "task"),
        "by_language": _by(verdicts, "language"),
        "failures_by_rule": dict(sorted(failures.items())),
    }


def recall_and_alarms(planted: Sequence[Row]) -> list[Row]:
    """Per task and rule, and for the gate of all rules: how many bad plants the rule failed of those it should
    (recall), and how many good ones it failed (false alarms), with 95% Wilson intervals.

    `planted` are rows of `records.PLANT` with rulings; a share is None if nothing was planted for it.
    """
    found = []
    for task in sorted({row["task"] for row in planted}):
        rows = [row for row in planted if row["task"] == task]
        named = dict.fromkeys((ruling["kind"], ruling["rule"]) for row in rows for ruling in row["rulings"])
        for kind, rule in [*named, ("gate", WHOLE)]:
            found.append({"task": task, "kind": kind, "rule": rule, **_measure(rows, rule)})
    return found


def recall_by_kind(planted: Sequence[Row]) -> list[Row]:
    """For each task and kind of plant: how many, and how many failed the checks, the judge, and either, with the
    95% Wilson interval of the last. The kind "good" counts false alarms."""
    found = []
    for task, kind in sorted({(row["task"], row["kind"]) for row in planted}):
        rows = [row for row in planted if (row["task"], row["kind"]) == (task, kind)]
        checks = sum(_fails(row, "check") for row in rows)
        judge = sum(_fails(row, "judge") for row in rows)
        either = sum(not stands(row["rulings"]) for row in rows)
        counts = {"planted": len(rows), "by_checks": checks, "by_judge": judge, "by_either": either}
        found.append({"task": task, "plant": kind, **counts, "share_95": interval(either, len(rows))})
    return found


def series(verdicts: Sequence[Row], audited: Iterable[Row]) -> list[Row]:
    """The plot's rows: each task's rules with their failure rate among the candidates, and their recall and false
    alarms where they were audited."""
    asked: Counter[tuple[str, str, str]] = Counter()
    failed: Counter[tuple[str, str, str]] = Counter()
    for row in verdicts:
        for ruling in row["rulings"]:
            key = row["task"], ruling["kind"], ruling["rule"]
            asked[key] += 1
            failed[key] += not ruling["passed"]
    measured = {(row["task"], row["kind"], row["rule"]): row for row in audited}
    columns = ("recall", "false_alarms")
    return [
        {
            **dict(zip(("task", "kind", "rule"), key, strict=True)),
            "asked": asked[key],
            "failure_rate": round(failed[key] / asked[key], 4) if asked[key] else None,
            **{name: measured.get(key, {}).get(name) for name in columns},
            **{f"{name}_{end}": _end(measured.get(key, {}), name, i) for name in columns for i, end in _ENDS},
        }
        for key in sorted(asked.keys() | measured.keys())
    ]


_ENDS = ((0, "low"), (1, "high"))


def _end(row: Row, name: str, end: int) -> float | None:
    found = row.get(f"{name}_95")
    return found[end] if found else None


def _measure(rows: Sequence[Row], rule: str) -> Row:
    bad = [row for row in rows if (row["kind"] != GOOD if rule == WHOLE else rule in row["breaks"])]
    good = [row for row in rows if row["kind"] == GOOD]
    caught, alarms = (sum(_failed(row, rule) for row in part) for part in (bad, good))
    return {
        "bad": len(bad),
        "caught": caught,
        "recall": round(caught / len(bad), 4) if bad else None,
        "recall_95": interval(caught, len(bad)),
        "good": len(good),
        "alarms": alarms,
        "false_alarms": round(alarms / len(good), 4) if good else None,
        "false_alarms_95": interval(alarms, len(good)),
    }


def _failed(row: Row, rule: str) -> bool:
    return any(not ruling["passed"] for ruling in row["rulings"] if rule in (WHOLE, ruling["rule"]))


def _fails(row: Row, kind: str) -> bool:
    return any(not ruling["passed"] for ruling in row["rulings"] if ruling["kind"] == kind)


def _by(verdicts: Sequence[Row], column: str) -> dict[str, Row]:
    """Rows, rows passed and pass rate for each value of `column`."""
    groups: dict[str, list[Row]] = {}
    for row in verdicts:
        groups.setdefault(row[column], []).append(row)
    return {
        name: {"rows": len(rows), "passed": sum(row["passed"] for row in rows), "pass_rate": _share_passed(rows)}
        for name, rows in sorted(groups.items())
    }


def _share_passed(verdicts: Sequence[Row]) -> float | None:
    return round(sum(row["passed"] for row in verdicts) / len(verdicts), 4) if verdicts else None
