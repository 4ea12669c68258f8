"""What the judge said, and what came of the tests."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from stages.lib import statistics
from stages.lib.judging.panel import passed_checks, stands
from stages.lib.measures.text import share
from stages.lib.records import Row

PASSED = "passed"
SAY_NOTHING = ("", "vacuous tests", "input passes too")  # outcomes that prove nothing of a solution


def pass_rate(verdicts: Sequence[Row]) -> dict[str, Any]:
    """The share of verdicts that pass, of those that pass the checks (and their tests, if these must pass), and of
    these the share that the judge passes, with 95% Wilson intervals; and the share of each rule among the rows that it
    was applied to."""
    asked: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for row in verdicts:
        for ruling in row["rulings"]:
            name = f"{ruling['kind']}: {ruling['rule']}"
            asked[name] += 1
            passed[name] += ruling["passed"]
    stood = sum(passed_checks(row) for row in verdicts)
    whole = sum(row["passed"] for row in verdicts)
    parts = {"overall": (whole, len(verdicts)), "checks": (stood, len(verdicts)), "judge": (whole, stood)}
    return {
        **{name: share(*part) for name, part in parts.items()},
        **{f"{name}_95": statistics.interval(*part) for name, part in parts.items()},
        "by_rule": {name: share(passed[name], asked[name]) for name in sorted(asked)},
    }


def own_tests(verdicts: Sequence[Row]) -> dict[str, Any]:
    """Of the rows whose tests were run and can fail, the share that passes them, with its 95% Wilson interval."""
    told = [row for row in verdicts if row["execution"] not in SAY_NOTHING]
    good = sum(row["execution"] == PASSED for row in told)
    return {
        "run": sum(row["execution"] != "" for row in verdicts),
        "telling": len(told),
        "share": share(good, len(told)),
        "share_95": statistics.interval(good, len(told)),
    }


def against_tests(verdicts: Sequence[Row]) -> dict[str, Any]:
    """The judge against its rows' tests: recall is the share of rows failing their tests that the judge fails too,
    false alarms the share of rows passing them that it fails; Cohen's kappa of the two.

    Rows that the judge did not see, or whose tests prove nothing, do not count.
    """
    pairs = []
    for row in verdicts:
        said = [ruling for ruling in row["rulings"] if ruling["kind"] == "judge"]
        if said and row["execution"] not in SAY_NOTHING:
            pairs.append((row["execution"] == PASSED, stands(said)))
    bad, good = [judged for truth, judged in pairs if not truth], [judged for truth, judged in pairs if truth]
    caught, alarms = bad.count(False), good.count(False)
    return {
        "rows": len(pairs),
        "recall": share(caught, len(bad)),
        "recall_95": statistics.interval(caught, len(bad)),
        "false_alarms": share(alarms, len(good)),
        "false_alarms_95": statistics.interval(alarms, len(good)),
        "kappa": _rounded(statistics.kappa(pairs)),
    }


def panel_kappa(ballots: Sequence[Row]) -> float | None:
    """The mean of Cohen's kappa over the pairs of judges, on whether a row passes all rules; None without a pair."""
    said: dict[int, dict[str, bool]] = defaultdict(dict)
    for row in ballots:
        said[row["judge"]][row["id"]] = stands(row["rulings"])
    judges = sorted(said)
    found = []
    for place, one in enumerate(judges):
        for other in judges[place + 1 :]:
            both = sorted(said[one].keys() & said[other].keys())
            value = statistics.kappa([(said[one][row], said[other][row]) for row in both])
            if value is not None:
                found.append(value)
    return _rounded(sum(found) / len(found) if found else None)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
