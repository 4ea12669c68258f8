"""When to stop evolving, and which round wins."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

PASSED = "passed"


@dataclass(frozen=True)
class Decision:
    """Whether the evolution is over after the last round, why, and which round is the best so far."""

    over: bool
    best: int
    why: str


def decide(scores: Sequence[float], most: int) -> Decision:
    """What follows from the pass@1 of rounds 0 (the seed set), 1, …; at most `most` rounds evolve.

    WizardCoder (arXiv 2306.08568, section 3): "Once we observe a decline in the pass@1 metric, we discontinue the
    usage of Evol-Instruct, and choose the model with the highest pass@1". Of equal rounds the earlier one wins: it
    has fewer rows.
    """
    last = len(scores) - 1
    best = max(range(len(scores)), key=lambda number: (scores[number], -number))
    if last > 0 and scores[last] < scores[last - 1]:
        return Decision(True, best, f"pass@1 fell from {scores[last - 1]:.1%} to {scores[last]:.1%} in round {last}")
    if last >= most:
        return Decision(True, best, f"evolve.rounds = {most} is reached")
    return Decision(False, best, "pass@1 has not fallen")


def pass_at_1(scores: Iterable[dict[str, Any]]) -> float:
    """The mean over the problems of the share of their samples that passed, from rows of `records.SCORE`."""
    verdicts: dict[str, list[bool]] = defaultdict(list)
    for row in scores:
        verdicts[row["task_id"]].append(row["verdict"] == PASSED)
    return fmean(fmean(found) for found in verdicts.values())
