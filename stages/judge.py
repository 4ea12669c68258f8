"""judge: rules on every candidate, rule by rule, with a reason.

Reads   data/candidates/ROUND
Writes  data/verdicts/ROUND/verdicts.parquet     the candidates, their rulings (rule, kind, passed, reason), passed,
                                                 and their tests' outcome
        data/verdicts/ROUND/exchanges.parquet    every request and response used
        data/verdicts/ROUND/dead_letters.jsonl   rows without a usable answer, with every attempt
        data/verdicts/ROUND/judge-N/             the same two files for each further judge of the panel
        data/verdicts/ROUND/ballots.parquet      with a panel: each judge's rulings before the vote
        data/verdicts/ROUND/audit/               with an audit: plants.parquet, the planted instances with their
                                                 rulings, and the exchanges about them; plants never become verdicts
        metrics/judge-ROUND.json                 what passed the checks and the judge, by task and language, failures by
                                                 rule, tokens, spend, the audit's recall and false alarms, the judges'
                                                 agreement
        plots/judge-ROUND.csv                    failure rate, recall and false alarms of each task's rules

    stages/run judge@1

Checks come first and need no model (kind "check"), then the row's tests if judge.require_execution (kind
"execution"). Each judge rules (kind "judge") in one request per row: on every rule with a reason, or, if judge.answers
is probability, on the task's one question, by the probability of its yes. A row passes when every ruling is a pass.
Dead letters get no verdict: the row is left out and counted.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from stages.lib import artifacts, params, progress, records, sandbox, teacher
from stages.lib.judging import asking, audit, execution, panel, rates
from stages.lib.judging.panel import Ballot, Ruling, Vote, rule, stands
from stages.lib.judging.rules import load_rules
from stages.lib.records import Row
from stages.lib.tasks.checks import Instance, run_checks
from stages.lib.tasks.definitions import load_task
from stages.lib.tasks.pool import Case, read_pool, texts_of
from stages.lib.tasks.slices import read_round
from stages.lib.teacher import Settings


class Params(asking.Asking):
    """The section `judge` of params.yaml."""

    seed: int = Field(ge=0)
    skip_failed_checks: bool
    max_dead_share: float = Field(ge=0, le=1)
    panel: list[Settings]
    vote: Vote
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


def main(key: str) -> None:
    knobs = params.load("judge", Params)
    number = read_round("judge", key)
    inputs = [artifacts.open(f"data/candidates/{number}")]
    candidates = records.read(inputs[0].file("candidates.parquet"), records.CANDIDATE).to_pylist()
    pool = read_pool(inputs[0].file("pool.jsonl"))
    ran = execution.run_all(candidates, knobs.execution)
    rulings = {row["id"]: check(row, [pool[case] for case in row["examples"]]) for row in candidates}
    if knobs.require_execution:
        for row_id, outcome in ran.items():
            passed = outcome == execution.PASSED
            rulings[row_id].append(rule("passes_tests", "execution", passed, "" if passed else outcome))
    planted = audit.plants([row for row in candidates if stands(rulings[row["id"]])], knobs.audit, number)
    trial = audit.prepare([{**row, "rulings": check(row)} for row in planted], knobs.audit, knobs.skip_failed_checks)
    with artifacts.create(
        f"data/verdicts/{number}", stage=f"judge@{number}", inputs=inputs, params=knobs.result, seed=knobs.seed
    ) as out:
        sent = [row for row in candidates if not knobs.skip_failed_checks or stands(rulings[row["id"]])]
        ballots, spent = ask_panel(sent, trial.asked, number, knobs, out)
        verdicts = conclude(candidates, {row["id"] for row in sent}, rulings, ballots, ran, knobs)
        records.write(out / "verdicts.parquet", verdicts, records.VERDICT)
        if knobs.panel:
            models = [settings.model for settings in knobs.judges]
            records.write(out / "ballots.parquet", panel.list_ballots(ballots, models), records.BALLOT)
        audited = trial.conclude(ballots, knobs.vote)
        if audited:
            (out / "audit").mkdir(exist_ok=True)
            records.write(out / "audit" / "plants.parquet", audited, records.PLANT)
        metrics = {**spent, "candidates": len(candidates), **rates.count(verdicts)}
        artifacts.write_metrics(f"judge@{number}", metrics | describe(audited, ballots, ran, sent, knobs))
        measured = rates.recall_and_alarms(audited)
        artifacts.write_series(f"judge@{number}", rates.series(verdicts, measured))


def check(row: Row, examples: Sequence[Case] = ()) -> list[Ruling]:
    """The rulings of the task's checks."""
    subject = Instance.of(row, load_task(row["task"]).takes_input, texts_of(examples))
    checks = load_rules(row["task"]).checks
    return [rule(name, "check", not fault, fault) for name, fault in run_checks(checks, subject)]


def ask_panel(
    sent: list[Row], tried: list[Row], number: int, knobs: Params, out: Path
) -> tuple[list[dict[str, Ballot]], dict[str, Any]]:
    """Each judge's ballots by row id, and the cost."""
    ballots: list[dict[str, Ballot]] = []
    spent: list[dict[str, Any]] = []
    for i, settings in enumerate(knobs.judges):
        name = f"judge@{number}" if i == 0 else f"judge@{number}, judge {i + 1}"
        folder = out if i == 0 else out / f"judge-{i + 1}"
        with teacher.connect(settings, label=name, seed=knobs.seed + i) as model:
            said, took = ask(model, sent, tried, folder, knobs)
        ballots.append(said)
        spent.append({**took, "model": settings.model})
    return ballots, {**spent[0], **({"panel": spent[1:]} if knobs.panel else {})}


def ask(
    model: teacher.Teacher, sent: list[Row], tried: list[Row], folder: Path, knobs: Params
) -> tuple[dict[str, Ballot], dict[str, Any]]:
    """A judge's ballots by id, for every row and plant except dead letters; and the cost."""
    (folder / "audit" if tried else folder).mkdir(parents=True, exist_ok=True)
    rows, plants, ballots = [*sent, *tried], {row["id"] for row in tried}, {}
    rate = progress.Share()
    with ExitStack() as stack:
        ledger = stack.enter_context(model.ledger(folder))
        aside = stack.enter_context(model.ledger(folder / "audit")) if tried else None
        for row, answer in zip(rows, model.answers(map(knobs.ask, rows), total=len(rows)), strict=True):
            (aside if aside and row["id"] in plants else ledger).add(answer)
            if answer.value is not None:
                ballots[row["id"]] = Ballot(answer.request, knobs.read(answer.value, row["task"]))
                if row["id"] not in plants:
                    passed = stands(ballots[row["id"]].rulings)
                    word = "passed" if passed else "failed"
                    progress.note(passed=rate.add(passed), last=f"{word}: {row['instruction']}")
    ledger.check(knobs.max_dead_share)
    return ballots, {**ledger.metrics(), **({"audit": aside.metrics()} if aside else {})}


def conclude(
    candidates: list[Row],
    sent: set[str],
    rulings: dict[str, list[Ruling]],
    ballots: list[dict[str, Ballot]],
    ran: dict[str, str],
    knobs: Params,
) -> list[Row]:
    """A verdict for each candidate, in order, except those missing a judge's ballot."""
    verdicts = []
    for row in candidates:
        own = [said[row["id"]] for said in ballots if row["id"] in said]
        if row["id"] in sent and len(own) < len(ballots):
            continue
        every = [*rulings[row["id"]], *panel.count_votes(own, knobs.vote)]
        request = own[0].request if own else ""
        executed = ran.get(row["id"], "")
        verdicts.append(
            {**row, "rulings": every, "passed": stands(every), "judge_request": request, "execution": executed}
        )
    return verdicts


def describe(
    audited: list[Row], ballots: list[dict[str, Ballot]], ran: dict[str, str], sent: list[Row], knobs: Params
) -> dict[str, Any]:
    """The optional parts of the metrics."""
    found: dict[str, Any] = {}
    if ran:
        found["execution"] = dict(sorted(Counter(ran.values()).items()))
    if audited:
        found["audit_totals"] = rates.totals(audited)
        found["audit_by_rule"] = rates.recall_and_alarms(audited)
        found["audit_by_plant"] = rates.recall_by_kind(audited)
    if knobs.panel:
        own = {row["id"] for row in sent}
        said = [{row_id: one for row_id, one in judge.items() if row_id in own} for judge in ballots]
        found["agreement"] = panel.agreement(said)
    return found
