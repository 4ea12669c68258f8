"""assemble: the rows that passed the judge, from every round, become the instruction dataset.

Reads   data/verdicts/ROUND and data/candidates/ROUND for each of assemble.rounds, data/corpus
Writes  data/dataset/{train,validation}.{jsonl,parquet}  instruction, input, output, task and full lineage
        data/dataset/dropped.parquet                     rows that passed, but little speaks for them, or they repeat
        data/dataset/difficulty.parquet                  with select: the measure of every row that reached it
        data/dataset/README.md                           the dataset card
        metrics/assemble.json                            rows in, dropped by rule, rows by split, task, language

A file without rows is left out, because `datasets.load_dataset` cannot read one.
A row's split depends only on its id, so it stays the same when other rows come or go; further rows of one function go
where the first goes. judge: false, tasks, rows, draw and money are for comparisons (docs/ablations.md); draw reads
data/embeddings too, unless it is random. select takes rows by their difficulty (docs/metrics.md), which a base model
may have to measure: that resumes after a kill.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.lib import artifacts, checkpoint, dataset, params, records
from stages.lib.corpus import rules
from stages.lib.corpus.decontamination import Benchmark, Decontaminator, load_benchmarks
from stages.lib.dataset import cards, selection, showing
from stages.lib.errors import BadInput
from stages.lib.measures import difficulty
from stages.lib.models import location
from stages.lib.tasks.definitions import TaskName

DROPPED = pa.schema([*records.INSTANCE, ("rule", pa.string()), ("reason", pa.string())])
Positive = Annotated[int, Field(gt=0)]


class Params(params.Section):
    """The `assemble` section of params.yaml."""

    rounds: Annotated[list[Positive], Field(min_length=1)]
    judge: bool
    tasks: Literal["all"] | Annotated[list[str], Field(min_length=1)]
    tested: list[TaskName] = params.new([])
    untested_margin: Annotated[float, Field(ge=0, lt=1)] | None = params.new(None)
    example: bool | Positive = params.new(False)
    rows: Positive | None
    draw: Literal["random", "k-center", "clusters"]
    money: selection.Money | None
    select: difficulty.Select | None = params.new(None)
    seed: Annotated[int, Field(ge=0)]
    validation_share: Annotated[float, Field(ge=0, lt=1)]
    near_duplicates: rules.NearDuplicates
    contamination: rules.Contamination


def main() -> None:
    knobs = read_params()
    candidates = [artifacts.open(f"data/candidates/{number}") for number in knobs.rounds]
    verdicts = [artifacts.open(f"data/verdicts/{number}") for number in knobs.rounds]
    judged = [records.read(one.file("verdicts.parquet"), records.VERDICT).to_pylist() for one in verdicts]
    folder = knobs.contamination.folder
    benchmarks, unchecked = load_benchmarks(Path(folder) if folder else None)
    corpus, sources = dataset.read_sources(candidates)
    chosen = choose(knobs, candidates, verdicts, judged)
    made = [dataset.instance(row, sources[row["function_id"]]) for row in chosen]
    passed = [showing.with_examples(row, int(knobs.example)) for row in made] if knobs.example and corpus else made
    embeddings = [artifacts.open("data/embeddings")] if corpus and knobs.draw != "random" else []
    recorded = knobs.result | {"benchmarks": {one.name: artifacts.digest(one.texts) for one in benchmarks}}
    inputs = [*corpus, *embeddings, *candidates, *verdicts]
    selector = make_selector(knobs, inputs, recorded, judged)
    strict = knobs.tested if knobs.judge or knobs.untested_margin is None else []
    untested = {"untested": selection.untested(chosen, strict, knobs.untested_margin)}
    steps = untested | plan(knobs, benchmarks, selector, make_drawer(knobs, corpus, embeddings, selector))
    kept, dropped = rules.apply(steps, passed)
    check(kept, judged, passed)
    parts = dataset.splits(kept, knobs.validation_share)

    facts = cards.count(parts, passed, dropped, benchmarks, unchecked, list(steps))
    with artifacts.create("data/dataset", stage="assemble", inputs=inputs, params=recorded) as out:
        dataset.write_splits(out, parts, records.INSTANCE)
        if dropped:
            records.write(out / "dropped.parquet", dropped, DROPPED)
        if selector:
            facts["select"] = selector.facts()
            records.write(out / "difficulty.parquet", selector.rows(), difficulty.MEASURED)
        rounds = cards.describe_rounds(knobs.rounds, candidates, verdicts, judged)
        made_by = {"rounds": rounds, "sources": cards.list_sources(kept), **cards.count_unasked(kept)}
        (out / "README.md").write_text(cards.render(facts | made_by | {"judged": knobs.judge}))
        artifacts.write_metrics("assemble", facts)
    if selector:
        checkpoint.discard(selector.saves)


def read_params() -> Params:
    knobs = params.load("assemble", Params)
    if knobs.select and knobs.select.prefer and knobs.draw != "random":
        raise BadInput(
            f"params.yaml: assemble.select.prefer and assemble.draw: {knobs.draw} both choose assemble.rows; drop one"
        )
    return knobs


def make_selector(
    knobs: Params, inputs: list[artifacts.Artifact], recorded: dict[str, Any], judged: list[list[rules.Row]]
) -> difficulty.Selector | None:
    """What selects by difficulty, if anything does; the base model's hash is `recorded`."""
    if knobs.select is None:
        return None
    if knobs.select.base:
        recorded["base_sha256"] = location.fingerprint(knobs.select.base.model)
    rulings = {row["id"]: row["rulings"] for rows in judged for row in rows}
    return difficulty.Selector(knobs.select, rulings, checkpoint.folder("assemble", inputs, recorded, knobs.seed))


def choose(
    knobs: Params,
    candidates: list[artifacts.Artifact],
    verdicts: list[artifacts.Artifact],
    judged: list[list[rules.Row]],
) -> list[rules.Row]:
    """The verdicts that may become rows: those that passed, less what judge, tasks and money exclude."""
    rows = [row for rows in judged for row in rows]
    if not knobs.judge:
        made = [records.read(one.file("candidates.parquet"), records.CANDIDATE).to_pylist() for one in candidates]
        rows = selection.candidates_with_verdicts([row for rows in made for row in rows], rows)
    if knobs.money:
        paid = selection.affordable(rows, knobs.money, [*candidates, *verdicts])
        rows = [row for row in rows if row["id"] in paid]
    wanted = selection.choose_tasks(knobs.tasks, rows)
    return [row for row in rows if row["task"] in wanted and (row["passed"] or not knobs.judge)]


def make_drawer(
    knobs: Params,
    corpus: list[artifacts.Artifact],
    embeddings: list[artifacts.Artifact],
    selector: difficulty.Selector | None,
) -> selection.Drawer:
    """How `assemble.rows` training rows are drawn."""
    if selector and selector.select.prefer:
        return selector.draw
    if knobs.draw == "random":
        return selection.at_random(knobs.seed)
    if not corpus:
        raise BadInput(f"assemble.draw: {knobs.draw}: another tool's rows come from no corpus; set random")
    ids = records.read(corpus[0].parts("corpus.parquet"), records.FUNCTION, ["id"])["id"].to_pylist()
    vectors = np.load(embeddings[0].file("embeddings.npy"), mmap_mode="r")
    return selection.spread(knobs.draw, {id: place for place, id in enumerate(ids)}, vectors, knobs.seed)


def plan(
    knobs: Params, benchmarks: list[Benchmark], selector: difficulty.Selector | None, drawn: selection.Drawer
) -> dict[str, rules.Rule]:
    """The rules after `untested` by name, in the order they apply."""
    steps = {
        "near_duplicate": rules.near_duplicates_of(dataset.text, knobs.near_duplicates),
        "contamination": rules.contamination(dataset.text, Decontaminator(benchmarks, knobs.contamination.ngram)),
    }
    if selector:
        steps["select"] = selector.rule
    return steps if knobs.rows is None else {**steps, "rows": lambda rows: cap_training(rows, knobs, drawn)}


def cap_training(rows: Sequence[rules.Row], knobs: Params, drawn: selection.Drawer) -> list[str | None]:
    """Drops training rows beyond `assemble.rows`."""
    train = dataset.by_split(rows, knobs.validation_share)["train"]
    capped = dict(zip((row["id"] for row in train), selection.cap(train, knobs.rows, drawn), strict=True))
    return [capped.get(row["id"]) for row in rows]


def check(kept: list[rules.Row], judged: list[list[rules.Row]], passed: list[rules.Row]) -> None:
    """Raise `BadInput` if nothing is left to train on, and say where the rows went."""
    if not kept:
        total = sum(map(len, judged))
        raise BadInput(
            f"the dataset is empty: {len(passed)} of {total} judged candidates passed and none was kept; see "
            "failures_by_rule in metrics/judge-*.json, and check generate.rows_per_round, the teacher, the judge, "
            "assemble.tasks and assemble.rows"
        )
