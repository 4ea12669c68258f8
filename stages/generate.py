"""generate: a teacher model turns raw functions into instruction instances, one task per row.

Reads   data/coreset, data/corpus; from round 2 on data/verdicts/ROUND-1, whose good and bad cases become the prompts'
        examples (round 1 uses the seed examples of the tasks); a git history if generate.method is commit
Writes  data/candidates/ROUND/candidates.parquet    task_name, instruction, information, solution and lineage
        data/candidates/ROUND/sources.parquet       what rows are made from, if not functions
        data/candidates/ROUND/pool.jsonl            the round's frozen example pool
        data/candidates/ROUND/exchanges.parquet     every request and response used
        data/candidates/ROUND/dead_letters.jsonl    rows without a usable answer, with every attempt
        data/candidates/ROUND/tests/                the exchanges about tests, if generate.tests asks for them
        data/candidates/ROUND/set_aside.jsonl       functions not asked about: reason, token count
        metrics/generate-ROUND.json                 rows, tokens, spend, task and language mix

    stages/run generate@1

generate.method decides what a row is made from, and how; each method is a folder of stages/lib/methods. By default
round R takes the R-th slice of the coreset's functions that fit the prompt. A row's task, target language, examples and
sampling seed depend only on its function's id (docs/tasks.md).
"""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import Field

from stages.lib import artifacts, params, progress, records, teacher
from stages.lib.corpus.functions import with_imports
from stages.lib.errors import BadInput
from stages.lib.methods import material, planting, test_writing
from stages.lib.methods.assignment import Assignment, Wording
from stages.lib.methods.method import load_method
from stages.lib.tasks.definitions import TaskName
from stages.lib.tasks.pool import Case, from_verdicts
from stages.lib.tasks.slices import read_round

Function = dict[str, Any]  # a row of records.FUNCTION

log = logging.getLogger("tidemill.generate")


class Examples(params.Section):
    """How many good and bad cases a prompt shows, and of how many sets of them each row gets one (0: its own)."""

    good: int = Field(ge=0)
    bad: int = Field(ge=0)
    sets: int = Field(ge=0)


class Pool(params.Section):
    """How many good cases the pool holds per task (and as many bad ones), and how long each may be."""

    cases: int = Field(gt=0)
    max_characters: int = Field(gt=0)


class Params(material.Rows):
    """The section `generate` of params.yaml."""

    mix: dict[TaskName, float]
    tasks_per_function: int = Field(gt=0)
    examples: Examples
    styles: bool
    keep_reasoning: bool = Field(default=False, exclude_if=lambda value: not value)
    pool: Pool
    max_dead_share: float = Field(ge=0, le=1)
    repair: planting.Repair
    tests: planting.Tests
    teacher: teacher.Settings


def main(key: str) -> None:
    knobs = params.load("generate", Params)
    number = read_round("generate", key)
    if number > knobs.rounds:
        raise BadInput(f"generate@{number}: generate.rounds in params.yaml is {knobs.rounds}; raise it to {number}")
    method = load_method(knobs.method)
    inputs = [artifacts.open("data/corpus"), artifacts.open("data/coreset")]
    if number > 1:
        inputs.append(artifacts.open(f"data/verdicts/{number - 1}"))
    corpus = records.read(inputs[0].file("corpus.parquet"), records.FUNCTION).to_pylist()
    by_id = {row["id"]: row for row in corpus}
    cases = list_cases(inputs[2:], by_id)
    functions, set_aside = material.gather(method, list_chosen(inputs[1], by_id), cases, number, knobs)
    pool, pool_hash = material.freeze(
        method, cases, functions, knobs.pool.cases, knobs.pool.max_characters, knobs.styles
    )
    wording = Wording(**knobs.examples.model_dump(), styles=knobs.styles)
    drawn_by = knobs.seed, knobs.mix, wording
    each = (Assignment.draw_each(knobs.tasks_per_function, method, one, pool, *drawn_by) for one in functions)
    rows = list(chain.from_iterable(each))
    ready = planting.prepare(rows, pool, drawn_by, knobs.repair, knobs.tests)
    set_aside += ready.set_aside
    log.info("round %d: %d functions, %d rows, %d set aside", number, len(functions), len(ready.rows), len(set_aside))
    with artifacts.create(
        f"data/candidates/{number}", stage=f"generate@{number}", inputs=inputs, params=knobs.result, seed=knobs.seed
    ) as out:
        records.write_lines(out / "pool.jsonl", [asdict(case) for case in pool])
        records.write_lines(out / "set_aside.jsonl", set_aside)
        if method.made_from != "functions":
            records.write(out / "sources.parquet", functions, records.FUNCTION)
        candidates, spent = ask_all(ready, number, knobs, out)
        records.write(out / "candidates.parquet", candidates, records.CANDIDATE)
        metrics = describe(candidates, set_aside, pool, pool_hash, knobs, spent)
        artifacts.write_metrics(f"generate@{number}", metrics | {"bugs": dict(sorted(ready.counts.items()))})


def list_chosen(coreset: artifacts.Artifact, by_id: dict[str, Function]) -> list[Function]:
    """The chosen functions with their imports, in selection order."""
    import pyarrow.parquet as pq

    table = pq.read_table(coreset.file("coreset.parquet"), columns=["order", "id"]).sort_by("order")
    return [complete(by_id[chosen]) for chosen in table["id"].to_pylist()]


def list_cases(verdicts: list[artifacts.Artifact], by_id: dict[str, Function]) -> list[Case]:
    """The previous round's cases; none in round 1."""
    rows = [row for one in verdicts for row in records.read(one.file("verdicts.parquet"), records.VERDICT).to_pylist()]
    named = {row["function_id"] for row in rows} & by_id.keys()
    return from_verdicts(rows, {function_id: complete(by_id[function_id]) for function_id in named})


def complete(function: Function) -> Function:
    """The function with its imports before its code: what is shown, asked about and run."""
    return {**function, "code": with_imports(function)}


def ask_all(
    ready: planting.Ready, number: int, knobs: Params, out: Path
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A candidate for each row the teacher answered, in order; and the cost."""
    with teacher.connect(knobs.teacher, label=f"generate@{number}", seed=knobs.seed) as model:
        with model.ledger(out) as ledger:
            candidates = list(write_candidates(model, ledger, ready.rows, number, knobs))
        ledger.check(knobs.max_dead_share)
        spent = ledger.metrics()
        tests = knobs.tests
        if tests.languages and tests.origin == "teacher":
            candidates, spent["tests"] = test_writing.add_tests(model, candidates, tests.languages, tests.count, out)
        elif tests.languages:
            candidates = planting.with_tests(candidates, ready.tests, tests.languages)
            spent["tests"] = {"rows_with_tests": sum(bool(row["tests"]) for row in candidates)}
    return candidates, spent


def write_candidates(
    model: teacher.Teacher,
    ledger: teacher.Ledger,
    rows: list[Assignment],
    number: int,
    knobs: Params,
) -> Iterator[dict[str, Any]]:
    if rows and not rows[0].method.asks:
        yield from (row.candidate({}, "", "", number) for row in rows)
        return
    answers = model.answers(list_asks(rows, knobs.documentation), total=len(rows))
    usable = progress.Share()
    for row, answer in zip(rows, answers, strict=True):
        ledger.add(answer)
        progress.note(usable=usable.add(answer.value is not None))
        if answer.value is not None:
            progress.note(last=answer.value.get("instruction", ""))
            candidate = row.candidate(answer.value, answer.request, answer.asked, number)
            yield candidate | ({"reasoning": answer.reasoning} if knobs.keep_reasoning else {})


def list_asks(rows: list[Assignment], documentation: str) -> Iterator[teacher.Ask]:
    for row in rows:
        shown = "" if documentation == "hidden" else row.function["docstring"]
        yield teacher.Ask(row.function["id"], row.messages(shown), row.schema, row.objection)


def describe(
    candidates: list[dict[str, Any]],
    set_aside: list[dict[str, Any]],
    pool: list[Case],
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
