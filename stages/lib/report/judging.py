"""Verdicts: pass rates by task and round, rules by failure rate, and the judge on trial."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.lib.judging import rates
from stages.lib.report import tables
from stages.lib.report.inputs import VERDICTS, Run
from stages.lib.report.tables import Row

PLANTS = "audit/plants.parquet"
PASSED, BY_CHECKS, BY_JUDGE = "passed", "failed the checks", "failed the judge"


@dataclass
class Rate:
    """How many of the `asked` rows failed a rule, and for which reasons."""

    asked: int = 0
    failed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def usual(self) -> str:
        """The most frequent reason."""
        return self.reasons.most_common(1)[0][0] if self.reasons else ""

    @property
    def share(self) -> float:
        """The failure rate; 0 if nothing was asked."""
        return self.failed / self.asked if self.asked else 0.0


@dataclass(frozen=True)
class Outcomes:
    """What became of the candidates of one task and round."""

    task: str
    round: str
    counted: Counter[str]

    @property
    def total(self) -> int:
        """All candidates."""
        return self.counted.total()

    @property
    def passed(self) -> int:
        """Those that passed every check and the judge."""
        return self.counted[PASSED]

    @property
    def by_checks(self) -> int:
        """Those that failed a check."""
        return self.counted[BY_CHECKS]

    @property
    def by_judge(self) -> int:
        """Those that failed the judge only."""
        return self.counted[BY_JUDGE]

    @property
    def stood(self) -> int:
        """Those that passed every check, and their tests if these must pass."""
        return self.total - self.by_checks

    @property
    def checks_share(self) -> float | None:
        """The share of candidates that passed the checks; None without any."""
        return self.stood / self.total if self.total else None

    @property
    def judge_share(self) -> float | None:
        """The share of those that passed the checks that the judge passed; None without any."""
        return self.passed / self.stood if self.stood else None


def outcome(verdict: Row) -> str:
    """A candidate's outcome. One that fails a check counts as that, whatever the judge says."""
    if verdict["passed"]:
        return PASSED
    checks = (ruling for ruling in verdict["rulings"] if ruling["kind"] != "judge")
    return BY_JUDGE if all(ruling["passed"] for ruling in checks) else BY_CHECKS


def summarize(verdicts: Sequence[Row]) -> dict[str, Any]:
    """Outcomes by task and round, their total, and the rules by failure rate."""
    by_task = [
        Outcomes(task, str(round), Counter(outcome(row) for row in verdicts if (row["task"], row["round"]) == key))
        for key in sorted({(row["task"], row["round"]) for row in verdicts})
        for task, round in [key]
    ]
    return {
        "all": Outcomes("all", "", Counter(map(outcome, verdicts))),
        "judged": sum(bool(row["judge_request"]) for row in verdicts),
        "by_task": by_task,
        "checks": rules(verdicts, "check"),
        "executions": executions(verdicts).most_common(),
        "judge": rules(verdicts, "judge"),
    }


def rules(verdicts: Sequence[Row], kind: str) -> list[tuple[str, Rate]]:
    """The rules of one kind ("check" or "judge"), highest failure rate first."""
    by_rule: dict[str, Rate] = defaultdict(Rate)
    for verdict in verdicts:
        for ruling in verdict["rulings"]:
            if ruling["kind"] == kind:
                rate = by_rule[ruling["rule"]]
                rate.asked += 1
                if not ruling["passed"]:
                    rate.failed += 1
                    rate.reasons[ruling["reason"]] += 1
    return sorted(by_rule.items(), key=lambda entry: (-entry[1].share, entry[0]))


@dataclass(frozen=True)
class Trial:
    """The judge's audit over all rounds: recall and false alarms of the checks, the judge alone and both together
    (`totals`), of each kind and rule over all tasks (`rules`), and by task and rule, each with `shows`; and the outcome
    of each kind of plant.
    """

    planted: int
    totals: dict[str, Row]
    rules: dict[tuple[str, str], Row]
    by_task: list[Row]
    by_kind: list[Row]


def trial(run: Run) -> Trial | None:
    """The audit's figures, from its plants; None if no round was audited."""
    artifacts = [run[VERDICTS + key] for key in run.rounds]
    audited = [one for one in artifacts if any(entry["path"] == PLANTS for entry in one.files)]
    planted = [row for artifact in audited for row in tables.read(artifact, PLANTS)]
    if not planted:
        return None
    found = [{**row, "shows": shows(row)} for row in rates.recall_and_alarms(planted)]
    totals = {key: {**row, "shows": shows(row)} for key, row in rates.totals(planted).items()}
    return Trial(
        planted=len(planted),
        totals=totals,
        rules={(row["kind"], row["rule"]): row for row in found if row["task"] == rates.ALL},
        by_task=[row for row in found if row["task"] != rates.ALL and (row["bad"] or row["kind"] == "judge")],
        by_kind=rates.recall_by_kind(planted),
    )


def shows(row: Row) -> str:
    """What the audit shows of a rule, in words."""
    words = {
        rates.BETTER: "better than chance",
        rates.UNTOLD: "cannot be told from chance",
        rates.WORSE: "worse than chance",
        rates.TOO_FEW: "too few plants to tell it from chance",
        rates.UNTRIED: "not tried: " + ("no good instance" if row["bad"] else "no spoiled instance that breaks it"),
    }
    return words[row["trust"]]


def executions(verdicts: Sequence[Row]) -> Counter[str]:
    """Outcomes of the tests that were run."""
    return Counter(row["execution"] for row in verdicts if row["execution"])
