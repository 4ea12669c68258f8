"""Which candidates may become rows of the dataset: the switches for the comparisons in docs/ablations.md."""

from collections.abc import Callable, Collection, Sequence
from typing import Literal

import numpy as np
import pyarrow.parquet as pq

from stages.lib.artifacts import Artifact, digest
from stages.lib.corpus.rules import Rule
from stages.lib.errors import BadInput
from stages.lib.kcenter import alternatives, k_center_greedy
from stages.lib.params import Section
from stages.lib.records import Row
from stages.lib.tasks import certainty


class Money(Section):
    """A sum, in US dollars, and what a million tokens of prompts and of answers cost."""

    usd: float
    prompt: float
    completion: float


def choose_tasks(wanted: Literal["all"] | list[str], rows: Sequence[Row], key: str = "assemble.tasks") -> set[str]:
    """The tasks that are `wanted` by params.yaml's `key`. Raises `BadInput` for one that none of the `rows` has."""
    known = {row["task"] for row in rows}
    if wanted == "all":
        return known
    if unknown := [task for task in wanted if task not in known]:
        raise BadInput(f"{key}: no row has the task {unknown[0]!r}; they have {', '.join(sorted(known))}")
    return set(wanted)


def untested(judged: Sequence[Row], tasks: Collection[str], margin: float | None) -> Rule:
    """Drops a row of `tasks` for which little speaks by the verdicts `judged`: its tests did not pass, or it has none
    and the judge's probability of a yes is less than `margin` above its threshold (None: that is never enough). A judge
    that gives reasons instead of probabilities is taken at its word.
    """
    doubts = {row["id"]: _doubt(row, margin) for row in judged if row["task"] in tasks}
    return lambda rows: [doubts.get(row["id"]) for row in rows]


def _doubt(row: Row, margin: float | None) -> str | None:
    if row["execution"]:
        return None if row["execution"] == "passed" else f"its tests: {row['execution']}"
    if margin is None:
        return "it has no tests"
    above = certainty.margin(row["rulings"])
    if above is None or above >= margin:
        return None
    return f"it has no tests, and the judge's yes is {above:g} above what is needed, not {margin:g}"


def candidates_with_verdicts(candidates: Sequence[Row], verdicts: Sequence[Row]) -> list[Row]:
    """Every candidate, with its verdict where the judge gave one (a dead letter of the judge's has none)."""
    known = {row["id"]: row for row in verdicts}
    unjudged = {"rulings": [], "passed": False, "judge_request": "", "execution": ""}
    return [known.get(row["id"], row | unjudged) for row in candidates]


def affordable(rows: Sequence[Row], money: Money, made: Sequence[Artifact]) -> set[str]:
    """The ids of as many of `rows`, in the order of their ids, as `money` pays for.

    A candidate's cost is the mean over all: every exchange in the artifacts `made` (re-asked, dead and failed ones
    too, the judge's audit apart), at the prices of `money`. Raises `BadInput` where it pays for none.
    """
    prompt, completion = (sum(parts) for parts in zip(*(count_tokens(one) for one in made), strict=True))
    each = (prompt * money.prompt + completion * money.completion) / 1e6 / max(1, len(rows))
    count = len(rows) if each == 0 else int(money.usd / each)
    if not count:
        raise BadInput(f"assemble.money: {money.usd} US dollars buy no candidate; one costs {each:.6f} here; raise usd")
    return set(sorted(row["id"] for row in rows)[:count])


def count_tokens(artifact: Artifact) -> tuple[int, int]:
    """Tokens of all prompts and answers that went into `artifact`, without the judge's audit."""
    names = [one["path"] for one in artifact.files]
    files = [name for name in names if name.endswith("exchanges.parquet") and "audit/" not in name]
    tables = [pq.read_table(artifact.file(name), columns=["prompt_tokens", "completion_tokens"]) for name in files]
    prompt, completion = (
        sum(sum(table[name].to_pylist()) for table in tables) for name in ("prompt_tokens", "completion_tokens")
    )
    return prompt, completion


def cap(rows: Sequence[Row], most: int | None, drawn: "Drawer") -> list[str | None]:
    """Why each row is left out; None for the `most` rows kept, those that `drawn` puts first."""
    if most is None or len(rows) <= most:
        return [None] * len(rows)
    kept = drawn(rows, most)
    return [None if row["id"] in kept else f"beyond {most} training rows" for row in rows]


Drawer = Callable[[Sequence[Row], int], set[str]]


def at_random(seed: int) -> Drawer:
    """Rows by `seed` and row id: a smaller draw is part of a larger one."""
    return lambda rows, most: set(sorted((row["id"] for row in rows), key=lambda id: digest([seed, id]))[:most])


def spread(
    method: Literal["k-center", "clusters"], places: dict[str, int], embeddings: np.ndarray, seed: int
) -> Drawer:
    """Rows whose functions spread over the `embeddings`, in which `places` says where each function is: the coreset's
    methods, on the rows that are left. Rows of one function lie in one place; the k-center order takes them last."""

    def draw(rows: Sequence[Row], most: int) -> set[str]:
        if other := [row["id"] for row in rows if row["function_id"] not in places]:
            raise BadInput(f"assemble.draw: {method}: row {other[0]} is from no function of the corpus; set random")
        ordered = sorted(rows, key=lambda row: digest([seed, row["id"]]))
        vectors = np.asarray(embeddings[[places[row["function_id"]] for row in ordered]])
        if method == "clusters":
            chosen = alternatives.choose_clusters(vectors, most, seed)
        else:
            chosen = k_center_greedy(vectors, most, first="mean", seed=seed).indices
        return {ordered[place]["id"] for place in chosen}

    return draw
