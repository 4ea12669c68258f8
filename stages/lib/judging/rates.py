"""Figures of a judging round: pass rates, and the audit's recall and false alarms with intervals."""

from collections import Counter
from collections.abc import Iterable, Sequence

from stages.lib.judging.panel import passed_checks, stands
from stages.lib.records import Row
from stages.lib.statistics import difference, interval

GOOD = "good"  # the kind of a plant that should pass
ALL = "all tasks"
ANY_CHECK, ANY_ASKED, WHOLE = "any check", "any rule of the judge", "any rule"
GATES = {ANY_CHECK: "check", ANY_ASKED: "judge", WHOLE: "gate"}  # a row that fails any rule is out

# What the audit shows of a rule (`trust`).
BETTER, UNTOLD, WORSE = "better than chance", "not told from chance", "worse than chance"
TOO_FEW, UNTRIED = "too few plants", "not tried"


def count(verdicts: Sequence[Row]) -> Row:
    """Rows passed, by task and language, and the failures of each rule. `checks` are of all rows, `judge` of those that
    passed the checks (and their tests, if these must pass)."""
    failures = Counter(
        f"{ruling['kind']}: {ruling['rule']}" for row in verdicts for ruling in row["rulings"] if not ruling["passed"]
    )
    stood = [row for row in verdicts if passed_checks(row)]
    passed = sum(row["passed"] for row in verdicts)
    return {
        "failed_checks": sum(not stands([one for one in row["rulings"] if one["kind"] == "check"]) for row in verdicts),
        "checks": _rate(len(stood), len(verdicts)),
        "judge": _rate(passed, len(stood)),
        "passed": passed,
        "pass_rate": _share(passed, len(verdicts)),
        "by_task": _by(verdicts, "task"),
        "by_language": _by(verdicts, "language"),
        "failures_by_rule": dict(sorted(failures.items())),
    }


def recall_and_alarms(planted: Sequence[Row]) -> list[Row]:
    """Per task and rule, and for all tasks together: how many bad plants the rule failed of those it should (recall),
    and how many good ones it failed (false alarms), with 95% Wilson intervals, their difference and `trust`.

    A plant counts for a rule that ruled on it. Three rows of each task are no single rule: any check, over all plants;
    any rule of the judge, over those that it was asked about; any rule, checks and judge together, over those drawn.

    `planted` are rows of `records.PLANT` with rulings; a share is None if nothing was planted for it.
    """
    tasks = sorted({row["task"] for row in planted})
    groups = {task: [row for row in planted if row["task"] == task] for task in tasks}
    found = []
    for task, rows in [*groups.items(), *([(ALL, planted)] if planted else [])]:
        named = dict.fromkeys((ruling["rule"], ruling["kind"]) for row in rows for ruling in row["rulings"])
        for rule, kind in [*named, *GATES.items()]:
            found.append({"task": task, "kind": kind, "rule": rule, **_measure(rows, kind, rule)})
    return found


def totals(planted: Sequence[Row]) -> dict[str, Row]:
    """Recall and false alarms over all tasks: of the checks, of the judge alone, and of both together."""
    keys = {"checks": ANY_CHECK, "judge": ANY_ASKED, "together": WHOLE}
    return {key: _measure(planted, GATES[gate], gate) for key, gate in keys.items()}


def trust(bad: int, caught: int, good: int, alarms: int) -> str:
    """What the counts of a rule show. A rule that guesses fails bad and good plants alike, so recall minus false alarms
    (Youden's J, https://en.wikipedia.org/wiki/Youden%27s_J_statistic) is 0.

    "too few plants": even with every bad plant caught and no false alarm the difference's 95% interval would hold 0.
    """
    perfect, found = difference(bad, bad, 0, good), difference(caught, bad, alarms, good)
    if perfect is None or found is None:
        return UNTRIED
    if perfect[0] <= 0:
        return TOO_FEW
    if found[0] > 0:
        return BETTER
    return WORSE if found[1] < 0 else UNTOLD


def recall_by_kind(planted: Sequence[Row]) -> list[Row]:
    """For each task and kind of plant: how many there are and failed a check; how many the judge was asked about and
    failed; how many were drawn and failed either, with the 95% Wilson interval of that. Of the kind "good" these are
    false alarms."""
    found = []
    for task, kind in sorted({(row["task"], row["kind"]) for row in planted}):
        rows = [row for row in planted if (row["task"], row["kind"]) == (task, kind)]
        (_, by_checks), (asked, by_judge), (drawn, by_either) = (_tally(rows, gate) for gate in GATES)
        counts = {"planted": len(rows), "by_checks": by_checks, "asked": asked, "by_judge": by_judge}
        share = interval(by_either, drawn)
        found.append({"task": task, "plant": kind, **counts, "drawn": drawn, "by_either": by_either, "share_95": share})
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
    measured = {(row["task"], row["kind"], row["rule"]): row for row in audited if row["task"] != ALL}
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


def _measure(rows: Sequence[Row], kind: str, rule: str) -> Row:
    said = [(row, one) for row in rows if (one := _said(row, kind, rule))]
    good = [all(one) for row, one in said if row["kind"] == GOOD]
    bad = [all(one) for row, one in said if row["kind"] != GOOD and (rule in GATES or rule in row["breaks"])]
    caught, alarms = bad.count(False), good.count(False)
    return {
        "bad": len(bad),
        "caught": caught,
        "recall": _share(caught, len(bad)),
        "recall_95": interval(caught, len(bad)),
        "good": len(good),
        "alarms": alarms,
        "false_alarms": _share(alarms, len(good)),
        "false_alarms_95": interval(alarms, len(good)),
        "difference_95": difference(caught, len(bad), alarms, len(good)),
        "trust": trust(len(bad), caught, len(good), alarms),
    }


def _tally(rows: Sequence[Row], gate: str) -> tuple[int, int]:
    """How many plants count for the gate, and how many of them fail it."""
    said = [one for row in rows if (one := _said(row, GATES[gate], gate))]
    return len(said), sum(not all(one) for one in said)


def _said(row: Row, kind: str, rule: str) -> list[bool]:
    """Whether the plant passed each ruling that counts for `rule`; empty if none does."""
    if rule == WHOLE:
        return [ruling["passed"] for ruling in row["rulings"]] if row["drawn"] else []
    mine = (ruling for ruling in row["rulings"] if ruling["kind"] == kind)
    return [ruling["passed"] for ruling in mine if rule in GATES or ruling["rule"] == rule]


def _by(verdicts: Sequence[Row], column: str) -> dict[str, Row]:
    """Rows, those that passed the checks, those that passed the judge too, and their share, by value of `column`."""
    groups: dict[str, list[Row]] = {}
    for row in verdicts:
        groups.setdefault(row[column], []).append(row)
    return {name: _outcomes(rows) for name, rows in sorted(groups.items())}


def _outcomes(rows: Sequence[Row]) -> Row:
    passed = sum(row["passed"] for row in rows)
    counts = {"rows": len(rows), "passed_checks": sum(map(passed_checks, rows)), "passed": passed}
    return {**counts, "pass_rate": _share(passed, len(rows))}


def _rate(passed: int, rows: int) -> Row:
    return {"rows": rows, "passed": passed, "pass_rate": _share(passed, rows)}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
