"""What differs between models that answered the same problems, and whether that is more than chance."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from statistics import mean

from commands.ablate.results import Result, Score
from stages.lib import statistics
from stages.lib.report import rendering as report
from stages.lib.statistics import Difference

ALL_PAIRS = 6  # up to this many runs, compare every pair; above, compare each with the reference
UNTUNED = "untuned model"
TOGETHER = "all of them together"


def compare(found: Sequence[Result], reference: Result) -> list[Difference]:
    """Pairs of tuned models on equal problems, and the reference against its untuned model; p Holm-corrected."""
    sides: list[tuple[str, Score]] = [(one.name, one.scores["tuned"]) for one in found if "tuned" in one.scores]
    if "base" in reference.scores:
        sides.insert(0, (UNTUNED, reference.scores["base"]))
    pairs = [
        (one, other)
        for one, other in combinations(sides, 2)
        if one[1].comparable == other[1].comparable
        and (len(sides) <= ALL_PAIRS or reference.name in (one[0], other[0]))
    ]
    turned = [(b, a) if b[0] == reference.name else (a, b) for a, b in pairs]
    return _corrected([_difference(*a, *b) for a, b in turned])


def losses(found: Sequence[Result], reference: Result) -> list[Difference]:
    """Each run's loss on held-out rows against the reference's, on the rows that both were tested on, in nats; p is
    Holm-corrected. `gained` counts the rows whose loss is higher."""
    made = []
    for one in found:
        rows = [row for row in reference.losses if row in one.losses]
        if one is reference or not rows:
            continue
        ours, theirs = ({row: side.losses[row] for row in rows} for side in (reference, one))
        left, right = ([mean(of[row] for row in rows) for of in side.seed_losses] for side in (reference, one))
        made.append(statistics.compare(reference.name, one.name, ours, theirs, _by_seed(left, right)))
    return _corrected(made)


def tuning(found: Sequence[Result]) -> list[Difference]:
    """What tuning changed on each benchmark, where the runs are scored on several; [] for one. p is Holm-corrected.

    Where each benchmark has one run, the last one (`TOGETHER`) is of all their problems, every problem counting the
    same. Where several runs share a benchmark, each run has a line of its own.
    """
    scores = _before_and_after(found)
    benchmarks = {tuned.slice for _, tuned in scores.values()}
    if len(benchmarks) < 2:
        return []
    made = [_difference(UNTUNED, base, name, tuned) for name, (base, tuned) in scores.items()]
    if len(benchmarks) < len(scores):
        return _corrected(made)
    before, after = (
        {f"{name}: {task}": share for name, sides in scores.items() for task, share in sides[side].shares.items()}
        for side in (0, 1)
    )
    together = statistics.compare(UNTUNED, TOGETHER, before, after, _mean_by_seed(made))
    return [*_corrected(made), replace(together, p_holm=together.p)]


def flipped(found: Sequence[Result]) -> dict[str, tuple[list[str], list[str]]]:
    """By benchmark, and by run where several share it, the problems that the tuned model passes more often than the
    untuned one, and less often."""
    return {
        name: (
            [task for task in base.shares if tuned.shares[task] > base.shares[task]],
            [task for task in base.shares if tuned.shares[task] < base.shares[task]],
        )
        for name, (base, tuned) in _before_and_after(found).items()
    }


def conclude(differences: Sequence[Difference]) -> str:
    """In a sentence or two, what the tests of pass@1 show, and what they could have shown."""
    could = max(one.detectable for one in differences)
    power = f"A true difference of {100 * could:.1f} points would have been found four times in five."
    shown = [one for one in differences if one.is_shown]
    if not shown:
        fewest, most = (pick(one.problems for one in differences) for pick in (min, max))
        asked = report.plural(most, "problem") if fewest == most else f"{fewest} to {most} problems"
        return f"On {asked}, no difference in pass@1 between any two of them is larger than chance explains. {power}"
    named = "; ".join(f"{one.other} {'above' if one.mean > 0 else 'below'} {one.one}" for one in shown)
    return f"Larger than chance explains (p below 5% after Holm's correction): {named}. {power}"


def conclude_losses(made: Sequence[Difference]) -> str:
    """In a sentence or two, what the losses on held-out rows show against the reference."""
    repeated = min(len(one.seeds) for one in made)  # 0 while a run has not finished with every seed
    over = f" and the {repeated} seeds" if repeated > 1 else ""
    said = [
        f"{one.other} {'above' if one.mean > 0 else 'below'} {one.one} by {abs(one.mean):.4f} nats a token"
        for one in made
        if one.is_shown
    ]
    still = [one.other for one in made if not one.is_shown]
    shown = f"Larger than the choice of rows{over} explains: {'; '.join(said)}." if said else ""
    rest = f"Not shown of the loss, over the rows{over}: {', '.join(still)}." if still else ""
    return f"{shown} {rest}".strip()


def conclude_tuning(made: Sequence[Difference]) -> str:
    """In a sentence for each benchmark that moved and one for the others, what tuning changed."""
    said = []
    for one in made:
        if one.is_shown:
            better = "more" if one.mean > 0 else "fewer"
            low, high = sorted((abs(one.low), abs(one.high)))
            said.append(
                f"On {one.other} the tuned model solves {100 * abs(one.mean):.1f} points {better} "
                f"({100 * low:.1f} to {100 * high:.1f})."
            )
    if still := [one for one in made if not one.is_shown]:
        parts = [f"{one.other} (where {100 * one.detectable:.1f} points would have been)" for one in still]
        said.append(f"No difference is shown on {', '.join(parts)}.")
    return " ".join(said)


def _before_and_after(found: Sequence[Result]) -> dict[str, tuple[Score, Score]]:
    """By benchmark, and by run where several share it, the scores of the untuned model and of the tuned one."""
    scores = {
        one.name: (one.scores["base"], one.scores["tuned"])
        for one in found
        if {"base", "tuned"} <= one.scores.keys() and one.scores["base"].comparable == one.scores["tuned"].comparable
    }
    runs = Counter(tuned.slice for _, tuned in scores.values())
    return {
        tuned.slice if runs[tuned.slice] == 1 else f"{tuned.benchmark} by {name}": (base, tuned)
        for name, (base, tuned) in scores.items()
    }


def _difference(one: str, left: Score, other: str, right: Score) -> Difference:
    return statistics.compare(one, other, left.shares, right.shares, _by_seed(left.seeds, right.seeds))


def _by_seed(left: Sequence[float], right: Sequence[float]) -> tuple[float, ...]:
    """`right` minus `left` with each seed; () where one of them misses some."""
    return tuple(b - a for a, b in zip(left, right, strict=True)) if len(left) == len(right) else ()


def _mean_by_seed(made: Sequence[Difference]) -> tuple[float, ...]:
    """The difference with each seed over all problems of several benchmarks; () where one of them misses some."""
    problems = sum(one.problems for one in made)
    if len({len(one.seeds) for one in made}) != 1:
        return ()
    weighted = ([one.problems * seed for seed in one.seeds] for one in made)
    return tuple(sum(parts) / problems for parts in zip(*weighted, strict=True))


def _corrected(made: list[Difference]) -> list[Difference]:
    return [replace(one, p_holm=p) for one, p in zip(made, statistics.holm([one.p for one in made]), strict=True)]
