"""How candidates are ruled on: by checks, by their tests, then by the judges' ballots and their vote."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from pydantic import Field, model_validator

from stages.lib import params, sandbox, teacher
from stages.lib.judging import asking, audit, execution, keeping, panel
from stages.lib.judging.panel import Ballot, Ruling, Vote, rule, stands
from stages.lib.judging.rules import load_rules
from stages.lib.records import Row
from stages.lib.tasks.checks import Instance, run_checks
from stages.lib.tasks.definitions import load_task
from stages.lib.tasks.pool import Case, texts_of
from stages.lib.teacher import Settings


class Judging(asking.Asking):
    """The section `judge` of params.yaml."""

    seed: int = Field(ge=0)
    skip_failed_checks: bool
    skip_unasked: bool = params.new(False)
    max_dead_share: float = Field(ge=0, le=1)
    panel: list[Settings]
    vote: Vote
    keep: keeping.Keep = Field(default="best", exclude_if=lambda value: value == "best")
    audit: audit.Audit
    require_execution: bool
    execution: sandbox.Execution
    teacher: Settings

    @model_validator(mode="before")
    @classmethod
    def _complete_panel(cls, values: Any) -> Any:
        """A further judge inherits the keys of `judge.teacher` that it does not set."""
        if not isinstance(values, dict) or not isinstance(values.get("panel"), list):
            return values
        first = values.get("teacher") or {}
        return {**values, "panel": [{**first, **one} if isinstance(one, dict) else one for one in values["panel"]]}

    @property
    def judges(self) -> list[Settings]:
        """The first judge and the rest of the panel."""
        return [self.teacher, *self.panel]


class Seat(NamedTuple):
    """A judge of the panel: its label in the journal, and its seed."""

    settings: Settings
    label: str
    seed: int


def seats(knobs: Judging, number: int) -> list[Seat]:
    """The judges of round `number`, in the panel's order."""
    return [
        Seat(settings, f"judge@{number}" if place == 0 else f"judge@{number}, judge {place + 1}", knobs.seed + place)
        for place, settings in enumerate(knobs.judges)
    ]


class Examined(NamedTuple):
    """Candidates before the judges: their rulings so far and their tests' outcomes by id, and those to be `sent`."""

    rulings: dict[str, list[Ruling]]
    ran: dict[str, str]
    sent: list[Row]


def examine(candidates: Sequence[Row], pool: Mapping[str, Case], knobs: Judging) -> Examined:
    """Run the candidates' tests and checks."""
    ran = execution.run_all(candidates, knobs.execution)
    rulings = {row["id"]: check(row, [pool[case] for case in row["examples"]]) for row in candidates}
    if knobs.require_execution:
        for row_id, outcome in ran.items():
            passed = outcome == execution.PASSED
            rulings[row_id].append(rule("passes_tests", "execution", passed, "" if passed else outcome))
    skipped = {row["id"] for row in candidates if knobs.skip_failed_checks and not stands(rulings[row["id"]])}
    if knobs.skip_unasked:
        skipped |= {row["id"] for row in candidates if not row["request"] and ran.get(row["id"]) == execution.PASSED}
    return Examined(rulings, ran, [row for row in candidates if row["id"] not in skipped])


def check(row: Row, examples: Sequence[Case] = ()) -> list[Ruling]:
    """The rulings of the task's checks."""
    subject = Instance.of(row, load_task(row["task"]).takes_input, texts_of(examples))
    checks = load_rules(row["task"]).checks
    return [rule(name, "check", not fault, fault) for name, fault in run_checks(checks, subject)]


class Bench:
    """The judges of round `number`, connected until the end of `stack`. Their answers are those that judge@`number`
    then finds in the journal."""

    def __init__(self, knobs: Judging, number: int, stack: ExitStack) -> None:
        self._knobs = knobs
        self._judges = [
            stack.enter_context(teacher.connect(settings, label=label, seed=seed))
            for settings, label, seed in seats(knobs, number)
        ]

    def rule(self, candidates: Sequence[Row], pool: Mapping[str, Case]) -> tuple[set[str], dict[str, float]]:
        """The ids of those that pass, and what each cost, US dollars."""
        seen, ballots, cost = examine(candidates, pool, self._knobs), list[dict[str, Ballot]](), dict[str, float]()
        for judge in self._judges:
            said: dict[str, Ballot] = {}
            answers = judge.answers(map(self._knobs.ask, seen.sent), total=len(seen.sent))
            for row, answer in zip(seen.sent, answers, strict=True):
                cost[row["id"]] = cost.get(row["id"], 0.0) + judge.cost(answer)
                if answer.value is not None:
                    said[row["id"]] = Ballot(answer.request, self._knobs.read(answer.value, row["task"]))
            ballots.append(said)
        verdicts = conclude(candidates, seen, ballots, self._knobs.vote)
        return {row["id"] for row in verdicts if row["passed"]}, cost


def conclude(candidates: Sequence[Row], seen: Examined, ballots: list[dict[str, Ballot]], vote: Vote) -> list[Row]:
    """A verdict for each candidate, in order, except those missing a judge's ballot."""
    verdicts, sent = [], {row["id"] for row in seen.sent}
    for row in candidates:
        own = [said[row["id"]] for said in ballots if row["id"] in said]
        if row["id"] in sent and len(own) < len(ballots):
            continue
        every = [*seen.rulings[row["id"]], *panel.count_votes(own, vote)]
        request = own[0].request if own else ""
        executed = seen.ran.get(row["id"], "")
        verdicts.append(
            {**row, "rulings": every, "passed": stands(every), "judge_request": request, "execution": executed}
        )
    return verdicts
