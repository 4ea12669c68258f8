"""generate: a teacher model turns raw functions into instruction instances, one task a row.

Reads   data/coreset, data/corpus; for round 2 and later data/verdicts/ROUND-1, whose good and bad cases
        become the examples of the prompts (round 1 takes the seed examples of stages/lib/tasks)
Writes  data/candidates/ROUND/candidates.parquet    task_name, instruction, information, solution and lineage
        data/candidates/ROUND/pool.jsonl            the round's example pool, frozen
        data/candidates/ROUND/exchanges.parquet     every request and response that was used
        data/candidates/ROUND/dead_letters.jsonl    rows that got no usable answer, with every attempt
        data/candidates/ROUND/set_aside.jsonl       functions that were not asked about: why, token count
        metrics/generate-ROUND.json                 rows, tokens, spend, task and language mix

    stages/run generate@1

Round R takes the R-th slice of the coreset's functions that fit the prompt. A row's task, target
language, examples and sampling seed are drawn by its function's id alone (docs/tasks.md).
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.lib import artifacts, params, records, tasks, teacher
from stages.lib.errors import BadInput

Function = dict[str, Any]  # a row of records.FUNCTION

log = logging.getLogger("tidemill.generate")


class Examples(params.Section):
    """How many good and bad cases a prompt shows."""

    good: int = Field(ge=0)
    bad: int = Field(ge=0)


class Pool(params.Section):
    """How many good, and as many bad, cases the pool holds of each task, and how long one may be."""

    cases: int = Field(gt=0)
    max_characters: int = Field(gt=0)


class Params(params.Section):
    """The section `generate` of params.yaml."""

    seed: int = Field(ge=0)
    rounds: int = Field(gt=0)
    rows_per_round: int = Field(gt=0)
    mix: dict[str, float]
    examples: Examples
    pool: Pool
    documentation: Literal["required", "shown", "hidden"]
    max_code_tokens: int = Field(gt=0)
    max_dead_share: float = Field(ge=0, le=1)
    teacher: teacher.Settings


@dataclass(frozen=True)
class Row:
    """One function with what was drawn for it."""

    function: Function
    task: tasks.Task
    target_language: str
    examples: tuple[tasks.Case, ...]


def main(key: str) -> None:
    knobs = params.load("generate", Params)
    number = tasks.read_round("generate", key)
    if number > knobs.rounds:
        raise BadInput(f"generate@{number}: params.yaml says generate.rounds: {knobs.rounds}; raise it to {number}")
    for task in knobs.mix:
        tasks.load(task)
    inputs = [artifacts.open("data/corpus"), artifacts.open("data/coreset")]
    if number > 1:
        inputs.append(artifacts.open(f"data/verdicts/{number - 1}"))
    corpus = records.read(inputs[0].file("corpus.parquet"), records.FUNCTION).to_pylist()
    by_id = {row["id"]: row for row in corpus}
    functions, set_aside = take_slice(list_chosen(inputs[1], by_id), number, knobs)
    pool, pool_hash = tasks.frozen(list_cases(inputs[2:], by_id), knobs.pool.cases, knobs.pool.max_characters)
    rows = [draw(function, pool, knobs) for function in functions]
    with artifacts.create(
        f"data/candidates/{number}", stage=f"generate@{number}", inputs=inputs, params=knobs.result, seed=knobs.seed
    ) as out:
        records.write_lines(out / "pool.jsonl", [asdict(case) for case in pool])
        records.write_lines(out / "set_aside.jsonl", set_aside)
        candidates, spent = ask_all(rows, number, pool_hash, knobs, out)
        records.write(out / "candidates.parquet", candidates, records.CANDIDATE)
        artifacts.write_metrics(f"generate@{number}", describe(candidates, set_aside, pool, pool_hash, knobs, spent))


def list_chosen(coreset: artifacts.Artifact, by_id: dict[str, Function]) -> list[Function]:
    """The chosen functions, in the order in which they were chosen."""
    import pyarrow.parquet as pq

    table = pq.read_table(coreset.file("coreset.parquet"), columns=["order", "id"]).sort_by("order")
    return [by_id[chosen] for chosen in table["id"].to_pylist()]


def take_slice(chosen: list[Function], number: int, knobs: Params) -> tuple[list[Function], list[dict[str, Any]]]:
    """The functions of round `number`, and what is set aside on the way to its end."""
    limits = knobs.rows_per_round, knobs.max_code_tokens, knobs.documentation == "required"
    taken, set_aside = tasks.take_slice(chosen, number, knobs.rounds, *limits)
    if not taken:
        why = f"max_code_tokens = {knobs.max_code_tokens} and documentation = {knobs.documentation}"
        raise BadInput(f"round {number} has no rows: too few of {len(chosen)} functions fit {why}; raise coreset.k")
    log.info("round %d: %d functions, %d set aside", number, len(taken), len(set_aside))
    return taken, set_aside


def list_cases(verdicts: list[artifacts.Artifact], by_id: dict[str, Function]) -> list[tasks.Case]:
    """The cases that the round before found, or none."""
    rows = [row for one in verdicts for row in records.read(one.file("verdicts.parquet"), records.VERDICT).to_pylist()]
    return tasks.from_verdicts(rows, by_id)


def draw(function: Function, pool: list[tasks.Case], knobs: Params) -> Row:
    """Task, target language and examples of a function: by its id alone."""
    row, language = function["id"], function["language"]
    task = tasks.load(tasks.draw_task(row, knobs.seed, knobs.mix))
    target = tasks.draw_target(row, knobs.seed, task.target_languages, language) if task.target_languages else language
    good, bad = knobs.examples.good, knobs.examples.bad
    return Row(function, task, target, tasks.draw_examples(pool, row, knobs.seed, task.name, language, good, bad))


def ask_all(
    rows: list[Row], number: int, pool_hash: str, knobs: Params, out: Path
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A candidate for each row that the teacher answered, in order; and what it took."""
    label = f"generate@{number}"
    with (
        teacher.connect(knobs.teacher, label=label, seed=knobs.seed) as model,
        model.ledger(out) as ledger,
    ):
        candidates = []
        for row, answer in zip(rows, model.answers(list_asks(rows, knobs), total=len(rows)), strict=True):
            ledger.add(answer)
            if answer.value is not None:
                candidates.append(make_candidate(row, answer, number, pool_hash, knobs))
    ledger.check(knobs.max_dead_share)
    return candidates, ledger.metrics()


def list_asks(rows: list[Row], knobs: Params) -> Iterator[teacher.Ask]:
    for row in rows:
        code, language = row.function["code"], row.function["language"]
        documentation = "" if knobs.documentation == "hidden" else row.function["docstring"]
        messages = tasks.generation_messages(row.task, code, documentation, language, row.target_language, row.examples)
        schema = tasks.answer_schema(row.task, code, language, row.target_language)
        object_to = partial(tasks.objection, row.task, row.function, row.target_language, row.examples)
        yield teacher.Ask(row.function["id"], messages, schema, object_to)


def make_candidate(row: Row, answer: teacher.Answer, number: int, pool_hash: str, knobs: Params) -> dict[str, Any]:
    lineage = {"function": row.function["id"], "task": row.task.name, "target": row.target_language}
    made_by = {"pool": pool_hash, "templates": tasks.templates_hash(), "model": knobs.teacher.model}
    written = answer.value or {}
    return {
        "id": artifacts.digest({**lineage, **made_by}),
        "round": number,
        "function_id": row.function["id"],
        "task": row.task.name,
        "language": row.function["language"],
        "target_language": row.target_language,
        **tasks.fill(row.task, row.function["code"], written),
        "answer": json.dumps(written, ensure_ascii=False),
        "examples": [case.id for case in row.examples],
        "request": answer.request,
    }


def describe(
    candidates: list[dict[str, Any]],
    set_aside: list[dict[str, Any]],
    pool: list[tasks.Case],
    pool_hash: str,
    knobs: Params,
    spent: dict[str, Any],
) -> dict[str, Any]:
    total = sum(knobs.mix.values())
    return {
        **spent,
        "model": knobs.teacher.model,
        "rows": len(candidates),
        "set_aside": dict(sorted(Counter(row["reason"] for row in set_aside).items())),
        "tasks": dict(sorted(Counter(row["task"] for row in candidates).items())),
        "tasks_percent_asked": {task: round(100 * share / total, 1) for task, share in knobs.mix.items()},
        "languages": dict(sorted(Counter(row["language"] for row in candidates).items())),
        "pool": {"hash": pool_hash, "cases": dict(sorted(Counter(case.origin for case in pool).items()))},
    }
