"""A panel of judges: their ballots, the vote, and their agreement."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from stages.lib import statistics

Ruling = dict[str, Any]  # of records.RULING
Vote = Literal["majority", "unanimous", "any"]


@dataclass(frozen=True)
class Ballot:
    """A judge's rulings on one row, for each rule, the journal key of its request, and how `certain` it is that the row
    is right, if it tells."""

    request: str
    rulings: list[Ruling]
    certain: float = 0.0


def rule(name: str, kind: str, passed: bool, reason: str) -> Ruling:
    """A row of `records.RULING`."""
    return {"rule": name, "kind": kind, "passed": passed, "reason": reason}


def stands(rulings: Sequence[Ruling]) -> bool:
    """Whether every ruling is a pass."""
    return all(ruling["passed"] for ruling in rulings)


def passed_checks(row: Mapping[str, Any]) -> bool:
    """Whether a verdict's row passed all that is not the judge's: its checks, and its tests if they must pass."""
    return stands([ruling for ruling in row["rulings"] if ruling["kind"] != "judge"])


def count_votes(ballots: Sequence[Ballot], how: Vote) -> list[Ruling]:
    """A ruling per rule by the judges' vote, with the reason of the first judge on the winning side.

    A majority is more than half; a tie fails.
    """
    rulings = []
    for said in zip(*(ballot.rulings for ballot in ballots), strict=True):
        yes = sum(one["passed"] for one in said)
        passed = {"majority": 2 * yes > len(said), "unanimous": yes == len(said), "any": yes > 0}[how]
        rulings.append(next(one for one in said if one["passed"] == passed))
    return rulings


def certainty(panel: Sequence[dict[str, Ballot]]) -> dict[str, float]:
    """How certain the judges are of each row, on average."""
    rows = {row for judge in panel for row in judge}
    return {row: sum(judge[row].certain for judge in panel if row in judge) / len(panel) for row in rows}


def list_ballots(panel: Sequence[dict[str, Ballot]], models: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of `records.BALLOT`, judge by judge."""
    for number, (model, said) in enumerate(zip(models, panel, strict=True), 1):
        for row, ballot in said.items():
            told = {"request": ballot.request, "rulings": ballot.rulings}
            yield {"id": row, "judge": number, "model": model, **told}


def agreement(panel: Sequence[dict[str, Ballot]]) -> list[dict[str, Any]]:
    """For each pair of judges (numbered from 1) and rule: the rows both ruled on, the share on which they agree, and
    Cohen's kappa, None if undefined (both always gave the same verdict)."""
    return [
        {"judges": [first + 1, second + 1], "rule": name, **_compare(pairs)}
        for first, second in combinations(range(len(panel)), 2)
        for name, pairs in sorted(_pairs(panel[first], panel[second]).items())
    ]


def _pairs(first: dict[str, Ballot], second: dict[str, Ballot]) -> dict[str, list[tuple[bool, bool]]]:
    found: dict[str, list[tuple[bool, bool]]] = {}
    for row in first.keys() & second.keys():
        for one, other in zip(first[row].rulings, second[row].rulings, strict=True):
            found.setdefault(one["rule"], []).append((one["passed"], other["passed"]))
    return found


def _compare(pairs: list[tuple[bool, bool]]) -> dict[str, Any]:
    same, kappa = sum(a == b for a, b in pairs), statistics.kappa(pairs)
    return {
        "rows": len(pairs),
        "agree": round(same / len(pairs), 4),
        "kappa": None if kappa is None else round(kappa, 4),
    }
