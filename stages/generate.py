"""generate: a teacher model turns raw functions into instruction instances, one task per row.

Reads   data/coreset, data/corpus; from round 2 on data/verdicts/ROUND-1, whose good and bad cases become the prompts'
        examples (round 1 uses the seed examples of the tasks); a git history if generate.method is commit; only the
        file of generate.foreign if it is foreign
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
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import Field

from stages.lib import artifacts, params, records
from stages.lib.corpus.functions import with_imports
from stages.lib.errors import BadInput
from stages.lib.judging import ruling
from stages.lib.methods import bringing, making, material
from stages.lib.methods.assignment import Wording
from stages.lib.methods.method import load_method
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


class Params(making.Making):
    """The section `generate` of params.yaml."""

    examples: Examples
    styles: bool
    pool: Pool


def main(key: str) -> None:
    knobs = params.load("generate", Params)
    number = read_round("generate", key)
    if number > knobs.rounds:
        raise BadInput(f"generate@{number}: generate.rounds in params.yaml is {knobs.rounds}; raise it to {number}")
    method = load_method(knobs.method)
    if knobs.foreign is not None:
        bring(number, knobs, knobs.foreign)
        return
    inputs = [artifacts.open("data/corpus"), artifacts.open("data/coreset")]
    if number > 1:
        inputs.append(artifacts.open(f"data/verdicts/{number - 1}"))
    corpus = records.read(inputs[0].parts("corpus.parquet"), records.FUNCTION).to_pylist()
    by_id = {row["id"]: row for row in corpus}
    cases = list_cases(inputs[2:], by_id)
    chosen = list_chosen(inputs[1], by_id)
    functions, set_aside = material.gather(method, chosen, cases, number, knobs)
    pool, pool_hash = material.freeze(
        method, cases, functions, knobs.pool.cases, knobs.pool.max_characters, knobs.styles
    )
    wording = Wording(**knobs.examples.model_dump(), styles=knobs.styles)
    makes = making.Round(number, knobs, method, pool, wording)
    if knobs.goes_on(number):
        go_on(makes, functions, set_aside, inputs, {row["id"]: place for place, row in enumerate(chosen)}, pool_hash)
        return
    ready = makes.prepare(functions)
    if not ready.rows:
        raise BadInput("a bug can be planted in none of the functions; add a task to generate.mix")
    set_aside += ready.set_aside
    log.info("round %d: %d functions, %d rows, %d set aside", number, len(functions), len(ready.rows), len(set_aside))
    with seal(number, inputs, knobs.result, knobs.seed) as out:
        records.write_lines(out / "pool.jsonl", [asdict(case) for case in pool])
        records.write_lines(out / "set_aside.jsonl", set_aside)
        if method.made_from != "functions":
            records.write(out / "sources.parquet", functions, records.FUNCTION)
        candidates, spent = makes.ask(ready, out)
        records.write(out / "candidates.parquet", candidates, records.CANDIDATE)
        metrics = describe(candidates, set_aside, pool, pool_hash, knobs, spent)
        artifacts.write_metrics(f"generate@{number}", metrics | {"bugs": dict(sorted(ready.counts.items()))})


def bring(number: int, knobs: Params, foreign: bringing.Foreign) -> None:
    """A round's even share of the rows that another tool wrote, in the file's order."""
    if knobs.until is not None or knobs.answers > 1:
        raise BadInput("generate.until and generate.answers ask a teacher for rows; the method foreign has its rows")
    found = bringing.read(foreign, load_method(knobs.method).hash, knobs.max_dead_share)
    part = material.share_out(found, number, knobs.rounds, len(found))
    if not any(one.candidate for one in part):
        raise BadInput(f"round {number} has no rows: {foreign.file} has {len(found)}, for {knobs.rounds} rounds")
    log.info("round %d: %d of %d rows of %s", number, len(part), len(found), foreign.file)
    recorded = knobs.result | {"foreign": knobs.result["foreign"] | foreign.origin}
    with seal(number, [], recorded, knobs.seed) as out:
        again = [{"id": one.id, "reason": "repeats an earlier row", "row": one.place} for one in part if one.repeats]
        records.write_lines(out / "pool.jsonl", [])
        records.write_lines(out / "set_aside.jsonl", again)
        records.write(out / "sources.parquet", [one.source for one in part if one.source], records.FUNCTION)
        candidates, spent = making.bring(knobs, part, number, out)
        records.write(out / "candidates.parquet", candidates, records.CANDIDATE)
        artifacts.write_metrics(f"generate@{number}", describe(candidates, again, [], "", knobs, spent))


def go_on(
    makes: making.Round,
    functions: list[Function],
    set_aside: list[Function],
    inputs: list[artifacts.Artifact],
    order: Mapping[str, int],
    pool_hash: str,
) -> None:
    """The last round, if generate.until has a target: it goes on along the coreset's `order` until that is reached."""
    knobs, number = makes.knobs, makes.number
    judge = params.load("judge", ruling.Judging)
    way = making.start(knobs, judge, functions, number)
    log.info("round %d: on from %s", number, way.goal.describe())
    with seal(number, inputs, knobs.result | {"judge": judge.result}, knobs.seed) as out:
        records.write_lines(out / "pool.jsonl", [asdict(case) for case in makes.pool])
        candidates, spent = makes.ask_until(way, judge, out)
        log.info("round %d ended by %s: %s", number, way.goal.ended_by(), way.goal.describe())
        passed_by = way.passed_by(set_aside, order)
        records.write_lines(out / "set_aside.jsonl", passed_by)
        records.write(out / "candidates.parquet", candidates, records.CANDIDATE)
        artifacts.write_metrics(
            f"generate@{number}", describe(candidates, passed_by, makes.pool, pool_hash, knobs, spent)
        )


def seal(number: int, inputs: list[artifacts.Artifact], result: dict[str, Any], seed: int) -> Any:
    """The round's artifact, sealed at the end of the block."""
    stage = f"generate@{number}"
    return artifacts.create(f"data/candidates/{number}", stage=stage, inputs=inputs, params=result, seed=seed)


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


def describe(
    candidates: list[dict[str, Any]],
    set_aside: list[dict[str, Any]],
    pool: Sequence[Case],
    pool_hash: str,
    knobs: making.Making,
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
