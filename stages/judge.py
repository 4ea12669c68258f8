"""judge: every candidate against its task's rules, one by one with a reason, then overall.

Reads   data/candidates/ROUND
Writes  data/verdicts/ROUND/verdicts.parquet     the candidates, their rulings (rule, kind, passed, reason), passed
        data/verdicts/ROUND/exchanges.parquet    every request and response that was used
        data/verdicts/ROUND/dead_letters.jsonl   rows that the judge gave no usable answer for, with every attempt
        metrics/judge-ROUND.json                 pass rate by task and language, failures by rule, tokens, spend

    stages/run judge@1

Checks need no model and come first (kind "check"); the judge's rules (kind "judge") are asked in one
request a row. A row passes when every check, every rule and the judge's overall answer say so. A dead
letter is no verdict: the row is left out, and counted.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.lib import artifacts, params, records, tasks, teacher

Candidate = dict[str, Any]
Ruling = dict[str, Any]


class Params(params.Section):
    """The section `judge` of params.yaml."""

    seed: int = Field(ge=0)
    skip_failed_checks: bool
    examples: int = Field(ge=0)
    max_dead_share: float = Field(ge=0, le=1)
    teacher: teacher.Settings


def main(key: str) -> None:
    knobs = params.load("judge", Params)
    number = tasks.read_round("judge", key)
    inputs = [artifacts.open(f"data/candidates/{number}")]
    candidates = records.read(inputs[0].file("candidates.parquet"), records.CANDIDATE).to_pylist()
    rulings = check_all(candidates, read_pool(inputs[0]))
    with artifacts.create(
        f"data/verdicts/{number}", stage=f"judge@{number}", inputs=inputs, params=knobs.result, seed=knobs.seed
    ) as out:
        verdicts, spent = judge_all(candidates, rulings, number, knobs, out)
        records.write(out / "verdicts.parquet", verdicts, records.VERDICT)
        artifacts.write_metrics(f"judge@{number}", describe(candidates, verdicts, spent, knobs))


def read_pool(candidates: artifacts.Artifact) -> dict[str, tasks.Case]:
    """The round's example pool by id."""
    cases = (tasks.Case(**row) for row in records.read_lines(candidates.file("pool.jsonl")))
    return {case.id: case for case in cases}


def check_all(candidates: list[Candidate], pool: dict[str, tasks.Case]) -> dict[str, list[Ruling]]:
    """The rulings of the checks, by the candidate's id."""
    return {row["id"]: check(row, [pool[case] for case in row["examples"]]) for row in candidates}


def check(row: Candidate, examples: list[tasks.Case]) -> list[Ruling]:
    task = tasks.load(row["task"])
    subject = tasks.Row.of(task, row, tasks.texts_of(examples))
    return [rule(name, "check", not fault, fault) for name, fault in tasks.run(task.checks, subject)]


def rule(name: str, kind: str, passed: bool, reason: str) -> Ruling:
    return {"rule": name, "kind": kind, "passed": passed, "reason": reason}


def judge_all(
    candidates: list[Candidate], rulings: dict[str, list[Ruling]], number: int, knobs: Params, out: Path
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A verdict for each candidate but the dead letters, in order; and what it took."""
    sent = [row for row in candidates if not knobs.skip_failed_checks or stands(rulings[row["id"]])]
    requests: dict[str, str] = {}
    dead: set[str] = set()
    with (
        teacher.connect(knobs.teacher, label=f"judge@{number}", seed=knobs.seed) as model,
        model.ledger(out) as ledger,
    ):
        for row, answer in zip(sent, model.answers(list_asks(sent, knobs.examples), total=len(sent)), strict=True):
            ledger.add(answer)
            if answer.value is None:
                dead.add(row["id"])
                continue
            requests[row["id"]] = answer.request
            rulings[row["id"]] += [
                rule(name, "judge", said["verdict"] == "pass", said["reason"]) for name, said in answer.value.items()
            ]
    ledger.check(knobs.max_dead_share)
    verdicts = [
        {
            **row,
            "rulings": rulings[row["id"]],
            "passed": stands(rulings[row["id"]]),
            "judge_request": requests.get(row["id"], ""),
        }
        for row in candidates
        if row["id"] not in dead
    ]
    return verdicts, ledger.metrics()


def list_asks(rows: list[Candidate], examples: int) -> Iterator[teacher.Ask]:
    for row in rows:
        task = tasks.load(row["task"])
        yield teacher.Ask(row["id"], tasks.judge_messages(task, row, examples), tasks.judge_schema(task))


def stands(rulings: list[Ruling]) -> bool:
    return all(ruling["passed"] for ruling in rulings)


def describe(
    candidates: list[Candidate], verdicts: list[dict[str, Any]], spent: dict[str, Any], knobs: Params
) -> dict[str, Any]:
    failures = Counter(
        f"{ruling['kind']}: {ruling['rule']}" for row in verdicts for ruling in row["rulings"] if not ruling["passed"]
    )
    return {
        **spent,
        "model": knobs.teacher.model,
        "candidates": len(candidates),
        "failed_checks": sum(not stands([one for one in row["rulings"] if one["kind"] == "check"]) for row in verdicts),
        "passed": sum(row["passed"] for row in verdicts),
        "pass_rate": share_passed(verdicts),
        "by_task": by(verdicts, "task"),
        "by_language": by(verdicts, "language"),
        "failures_by_rule": dict(sorted(failures.items())),
    }


def by(verdicts: list[dict[str, Any]], column: str) -> dict[str, dict[str, Any]]:
    """Rows, rows passed and pass rate for each value of `column`."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in verdicts:
        groups.setdefault(row[column], []).append(row)
    return {
        name: {"rows": len(rows), "passed": sum(row["passed"] for row in rows), "pass_rate": share_passed(rows)}
        for name, rows in sorted(groups.items())
    }


def share_passed(verdicts: list[dict[str, Any]]) -> float | None:
    return round(sum(row["passed"] for row in verdicts) / len(verdicts), 4) if verdicts else None
