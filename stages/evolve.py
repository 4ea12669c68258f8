"""evolve: one round of Code Evol-Instruct, which makes every instruction harder and answers it.

Reads   evolve@0      the seed set: data/dataset, a file in Alpaca's format, or both (evolve.seeds)
        evolve@ROUND  data/evolved/ROUND-1
        evolve@best   data/evolved, models/evolved, data/completions/evolved and data/scores/evolved of every round
Writes  data/evolved/ROUND/{train,validation}.{jsonl,parquet}  the seed set and all rounds so far, merged
        data/evolved/ROUND/frontier.parquet      what the next round evolves: each seed's latest version
        data/evolved/ROUND/eliminated.parquet    what failed in this round, with rule and reason
        data/evolved/ROUND/exchanges.parquet, dead_letters.jsonl   for the evolutions; also in answers/ and judge/
        data/evolved/ROUND/README.md             the dataset card
        metrics/evolve-ROUND.json                rows, eliminated by rule, evolutions, tokens, spend
        data/evolved-best, models/evolved-best   by evolve@best: dataset and model of the best round

A row's id decides how it is evolved. If an evolution fails, its parent enters the next round. Seeds that repeat another
seed or a benchmark task are dropped first. `make evolve` runs the rounds (docs/evolution.md).
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from stages.lib import artifacts, dataset, params, progress, records, teacher, templates
from stages.lib.benchmarks import validation
from stages.lib.corpus import rules
from stages.lib.corpus.decontamination import Decontaminator, load_benchmarks
from stages.lib.errors import BadInput
from stages.lib.evolution import best, configuration, elimination, questions, rows
from stages.lib.evolution.evolutions import draw_evolution
from stages.lib.evolution.rows import Row
from stages.lib.tasks.pool import Case
from stages.lib.teacher import Settings

CARD = Path(questions.__file__).with_name("card.md.j2")


class Params(configuration.Rounds):
    """The section `evolve` of params.yaml."""

    rows: int | None = Field(ge=1)
    seed: int = Field(ge=0)
    validation_share: float = Field(ge=0, lt=1)
    examples: int = Field(ge=0)
    max_dead_share: float = Field(ge=0, le=1)
    near_duplicates: rules.NearDuplicates
    contamination: rules.Contamination
    teacher: Settings
    judge: Settings | None

    @model_validator(mode="before")
    @classmethod
    def _complete_judge(cls, values: Any) -> Any:
        """The judge inherits the keys of `evolve.teacher` that it does not set."""
        if not isinstance(values, dict) or not isinstance(values.get("judge"), dict):
            return values
        return {**values, "judge": {**(values.get("teacher") or {}), **values["judge"]}}


log = logging.getLogger("tidemill.evolve")


def main(key: str = "") -> None:
    knobs = params.load("evolve", Params)
    validation.read()
    if key == "best":
        best.write(knobs)
        return
    number = configuration.read_key(key, knobs.rounds)
    inputs, seeds, frontier = read(number, knobs)
    benchmarks, unchecked = load_benchmarks(Path(knobs.contamination.folder) if knobs.contamination.folder else None)
    clean = {
        "near_duplicate": rules.near_duplicates_of(dataset.text, knobs.near_duplicates),
        "contamination": rules.contamination(dataset.text, Decontaminator(benchmarks, knobs.contamination.ngram)),
    }
    recorded = knobs.result | configuration.fingerprint(knobs, number)
    recorded["benchmarks"] = {one.name: artifacts.digest(one.texts) for one in benchmarks}
    with artifacts.create(
        f"data/evolved/{number}", stage=f"evolve@{number}", inputs=inputs, params=recorded, seed=knobs.seed
    ) as out:
        grown, failed, spent = ask_all(frontier, number, knobs, out) if number else ([], [], {})
        kept, dropped = rules.apply(clean, [*seeds, *grown])
        if not kept:
            raise BadInput("the evolved set is empty: every seed repeats another or a benchmark task")
        parts = rows.split(kept, knobs.validation_share)
        dataset.write_splits(out, parts, rows.EVOLVED)
        records.write(out / "frontier.parquet", advance(frontier or kept, kept, number), rows.EVOLVED)
        records.write(out / "eliminated.parquet", [*failed, *dropped], rows.ELIMINATED)
        facts = count(number, parts, [*failed, *dropped], knobs, spent)
        checked = {"checked": [one.name for one in benchmarks], "unchecked": unchecked}
        (out / "README.md").write_text(templates.render(CARD, facts | checked | {"seeds": knobs.seeds.result}))
        artifacts.write_metrics(f"evolve@{number}", facts)


def read(number: int, knobs: Params) -> tuple[list[artifacts.Artifact], list[Row], list[Row]]:
    """The round's input artifacts, the rows it keeps, and those it evolves."""
    if number:
        last = artifacts.open(f"data/evolved/{number - 1}")
        files = [f"{name}.parquet" for name in rows.SPLITS if last.has(f"{name}.parquet")]
        kept = [row for file in files for row in read_rows(last, file)]
        return [last], sorted(kept, key=lambda row: row["evolved_in"]), read_rows(last, "frontier.parquet")
    data = [artifacts.open("data/dataset")] if knobs.seeds.dataset else []
    return data, rows.draw(rows.read_seeds(data, knobs.seeds.file), knobs.rows, knobs.seed), []


def read_rows(last: artifacts.Artifact, file: str) -> list[Row]:
    return list(records.read(last.file(file), rows.EVOLVED).to_pylist())


def ask_all(frontier: list[Row], number: int, knobs: Params, out: Path) -> tuple[list[Row], list[Row], dict[str, Any]]:
    """The evolutions that passed every rule, those that failed with rule and reason, and the cost."""
    label, held = f"evolve@{number}", elimination.load()
    drawn = [draw_evolution(artifacts.digest([row["id"], number]), knobs.seed) for row in frontier]
    shown = questions.examples(knobs.examples)
    asks = [questions.evolve(row, number, way, shown) for row, way in zip(frontier, drawn, strict=True)]
    answers, spent = ask(knobs.teacher, label, asks, out, knobs)
    pairs = []
    for parent, way, found in zip(frontier, drawn, answers, strict=True):
        if found is not None:
            text = found.value["instruction"].strip()
            pairs.append((parent, rows.child(parent, way, number, text, found.request, found.asked)))
    pairs, failed = eliminate(pairs, held.instruction, shown)
    log.info("%d of %d evolved instructions passed; answering them", len(pairs), len(frontier))
    asks = [questions.answer(row, questions.code_language(parent), shown) for parent, row in pairs]
    answers, spent["answers"] = ask(knobs.teacher, label, asks, out / "answers", knobs)
    answered = [
        (parent, {**row, "output": found.value["output"].strip("\n"), "request": found.request})
        for (parent, row), found in zip(pairs, answers, strict=True)
        if found is not None
    ]
    answered, more = eliminate(answered, held.answer, shown)
    grown, failed = [row for _, row in answered], failed + more
    if knobs.judge is not None:
        asks = [questions.judge(row, held.judge) for row in grown]
        said, spent["judge"] = ask(knobs.judge, label, asks, out / "judge", knobs)
        grown, more = questions.ruled(grown, said)
        failed += more
    return grown, failed, spent


def ask(
    settings: Settings, label: str, asks: list[teacher.Ask], folder: Path, knobs: Params
) -> tuple[list[Any], dict[str, Any]]:
    """An answer for each ask, None for a dead letter; and the cost. Exchanges and dead letters go to `folder`."""
    folder.mkdir(exist_ok=True)
    found: list[Any] = []
    with teacher.connect(settings, label=label, seed=knobs.seed) as model, model.ledger(folder) as ledger:
        usable = progress.Share()
        for answer in model.answers(asks, total=len(asks)):
            ledger.add(answer)
            progress.note(usable=usable.add(answer.value is not None))
            found.append(answer if answer.value is not None else None)
    ledger.check(knobs.max_dead_share)
    return found, ledger.metrics()


def eliminate(
    pairs: list[tuple[Row, Row]], held: elimination.OfInstruction | elimination.OfAnswer, shown: list[Case]
) -> tuple[list[tuple[Row, Row]], list[Row]]:
    """The (parent, evolution) pairs that pass the rules, and the failed evolutions with rule and reason."""
    kept, failed = [], []
    for parent, row in pairs:
        before = parent["instruction"] if row["input"] else rows.question(parent)  # an unchanged input is no gain
        texts = before, row["instruction"], row["output"], questions.code_language(parent)
        examples = tuple(case.answer["instruction"] for case in shown)
        fault = elimination.find_fault(held, elimination.Evolution(*texts, examples))
        if fault:
            failed.append({**row, "rule": fault[0], "reason": fault[1]})
        else:
            kept.append((parent, row))
    return kept, failed


def advance(frontier: list[Row], kept: list[Row], number: int) -> list[Row]:
    """What the next round evolves: each row's evolution, or the row itself if that failed."""
    by_parent = {row["parent"]: row for row in kept if row["evolved_in"] == number and row["parent"]}
    return [by_parent.get(row["id"], row) for row in frontier]


def count(
    number: int, parts: dict[str, list[Row]], failed: list[Row], knobs: Params, spent: dict[str, Any]
) -> dict[str, Any]:
    kept = [row for part in parts.values() for row in part]
    by_rule = Counter(row["rule"] for row in failed)
    order = [*elimination.names(elimination.load()), "near_duplicate", "contamination"]
    return {
        **spent,
        "round": number,
        "model": knobs.teacher.model,
        "evolved": sum(row["evolved_in"] == number for row in kept) if number else 0,
        "eliminated": {name: by_rule[name] for name in order if by_rule[name]},
        "evolutions": dict(sorted(Counter(row["evolution"] for row in kept if row["evolution"]).items())),
        "rounds": {str(one): rows for one, rows in sorted(Counter(row["evolved_in"] for row in kept).items())},
        **{name: len(part) for name, part in parts.items()},
        "languages": dict(sorted(Counter(row["language"] or "not named" for row in kept).items())),
    }
