"""judge: rules on every candidate, rule by rule, with a reason.

Reads   data/candidates/ROUND
Writes  data/verdicts/ROUND/verdicts.parquet     the candidates, their rulings (rule, kind, passed, reason), passed,
                                                 and their tests' outcome
        data/verdicts/ROUND/exchanges.parquet    every request and response used
        data/verdicts/ROUND/dead_letters.jsonl   rows without a usable answer, with every attempt
        data/verdicts/ROUND/judge-N/             the same two files for each further judge of the panel
        data/verdicts/ROUND/ballots.parquet      with a panel: each judge's rulings before the vote
        data/verdicts/ROUND/passed_over.parquet  passing answers, where judge.keep prefers another to the same question
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
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stages.lib import artifacts, params, progress, records, teacher
from stages.lib.judging import audit, keeping, panel, rates, ruling
from stages.lib.judging.panel import Ballot, stands
from stages.lib.records import Row
from stages.lib.tasks.pool import read_pool
from stages.lib.tasks.slices import read_round

Params = ruling.Judging


def main(key: str) -> None:
    knobs = params.load("judge", Params)
    number = read_round("judge", key)
    inputs = [artifacts.open(f"data/candidates/{number}")]
    candidates = records.read(inputs[0].file("candidates.parquet"), records.CANDIDATE).to_pylist()
    pool = read_pool(inputs[0].file("pool.jsonl"))
    seen = ruling.examine(candidates, pool, knobs)
    rulings, ran, sent = seen
    planted = audit.plants([row for row in candidates if stands(rulings[row["id"]])], knobs.audit, number)
    checked = [{**row, "rulings": ruling.check(row)} for row in planted]
    trial = audit.prepare(checked, knobs.audit, knobs.skip_failed_checks)
    with artifacts.create(
        f"data/verdicts/{number}", stage=f"judge@{number}", inputs=inputs, params=knobs.result, seed=knobs.seed
    ) as out:
        ballots, spent = ask_panel(sent, trial.asked, number, knobs, out)
        ruled = ruling.conclude(candidates, seen, ballots, knobs.vote)
        verdicts, passed_over = keeping.choose(ruled, panel.certainty(ballots), knobs.keep)
        if passed_over:
            records.write(out / "passed_over.parquet", passed_over, keeping.PASSED_OVER)
        records.write(out / "verdicts.parquet", verdicts, records.VERDICT)
        if knobs.panel:
            models = [settings.model for settings in knobs.judges]
            records.write(out / "ballots.parquet", panel.list_ballots(ballots, models), records.BALLOT)
        audited = trial.conclude(ballots, knobs.vote)
        if audited:
            (out / "audit").mkdir(exist_ok=True)
            records.write(out / "audit" / "plants.parquet", audited, records.PLANT)
        metrics = {**spent, "candidates": len(candidates), **rates.count(verdicts), **keeping.count(ruled, passed_over)}
        artifacts.write_metrics(f"judge@{number}", metrics | describe(audited, ballots, ran, sent, knobs))
        measured = rates.recall_and_alarms(audited)
        artifacts.write_series(f"judge@{number}", rates.series(verdicts, measured))


def ask_panel(
    sent: list[Row], tried: list[Row], number: int, knobs: Params, out: Path
) -> tuple[list[dict[str, Ballot]], dict[str, Any]]:
    """Each judge's ballots by row id, and the cost."""
    ballots: list[dict[str, Ballot]] = []
    spent: list[dict[str, Any]] = []
    for place, (settings, label, seed) in enumerate(ruling.seats(knobs, number)):
        folder = out if place == 0 else out / f"judge-{place + 1}"
        with teacher.connect(settings, label=label, seed=seed) as model:
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
                read = knobs.read(answer.value, row["task"])
                ballots[row["id"]] = Ballot(answer.request, read, knobs.certainty(answer.value))
                if row["id"] not in plants:
                    passed = stands(ballots[row["id"]].rulings)
                    word = "passed" if passed else "failed"
                    progress.note(passed=rate.add(passed), last=f"{word}: {row['instruction']}")
    ledger.check(knobs.max_dead_share)
    return ballots, {**ledger.metrics(), **({"audit": aside.metrics()} if aside else {})}


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
