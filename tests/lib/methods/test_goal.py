"""The way to generate.until's targets: which rows count, and how many are asked about at a time."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from stages.lib.errors import BadInput
from stages.lib.methods import goal
from stages.lib.methods.goal import Goal, Outcome, Tally, Until

TASKS = ("a", "a", "b", "a", "c")


def rows(count: int) -> Iterator[Any]:
    for number in range(count):
        name = TASKS[number % len(TASKS)]
        yield SimpleNamespace(function={"id": f"{number}", "language": "Go"}, task=SimpleNamespace(name=name))


class World:
    """Of every three rows the last fails, every tenth dies; a row costs a dollar."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def ask(self, some: Sequence[Any]) -> list[Outcome]:
        numbers = [int(row.function["id"]) for row in some]
        self.asked.append(numbers)
        return [
            Outcome(None, None if number % 10 == 9 else {"id": number}, number % 3 != 2 and number % 10 != 9, 1.0)
            for number in numbers
        ]

    def reach(self, until: Until, quotas: dict[str, int], at_once: int, count: int = 1000) -> tuple[list[int], Goal]:
        target = Goal(until, quotas, Tally(), at_once)
        return [int(row.function["id"]) for row, _ in target.walk(rows(count), self.ask)], target


@pytest.mark.parametrize("at_once", [1, 4, 64])
@pytest.mark.parametrize(
    ("until", "ends"),
    [
        (Until(passing=50), "passing"),
        (Until(passing=50, candidates=30), "candidates"),
        (Until(passing=50, candidates=300, usd=20.0), "usd"),
        (Until(usd=20.5), "usd"),
        (Until(candidates=30), "candidates"),
    ],
)
def test_the_rows_that_count_do_not_depend_on_how_many_are_asked_at_once(until: Until, ends: str, at_once: int) -> None:
    world = World()
    counted, target = world.reach(until, goal.share_out(until, {}, []), at_once)
    assert target.ended_by() == ends
    assert counted == list(range(len(counted))), "none is left out"
    reached = target.reached
    exact = {"passing": reached.passing[goal.ALL] == 50, "candidates": reached.candidates == 30}
    assert exact.get(ends, reached.usd == {20.0: 20.0, 20.5: 21.0}.get(until.usd or 0))
    asked = [number for some in world.asked for number in some]
    assert len(asked) == len(set(asked)) and len(asked) - len(counted) <= at_once, "no more than what is in flight"
    assert world.asked[0] == sorted(world.asked[0])


@pytest.mark.parametrize("at_once", [1, 5, 64])
def test_each_group_gets_its_share_of_what_passes(at_once: int) -> None:
    until = Until(passing=100, per="task")
    quotas = goal.share_out(until, {"a": 57.0, "b": 15.9, "c": 27.1, "d": 0.0}, [])
    assert quotas == {"a": 57, "b": 16, "c": 27}
    world = World()
    counted, target = world.reach(until, quotas, at_once)
    assert dict(target.reached.passing) == quotas
    alone, _ = World().reach(until, quotas, 1)
    assert counted == alone
    asked = sum(map(len, world.asked))
    assert asked - len(counted) <= at_once


def test_a_higher_target_asks_for_the_difference() -> None:
    low, high = World(), World()
    first, _ = low.reach(Until(passing=20), {goal.ALL: 20}, 4)
    second, _ = high.reach(Until(passing=30), {goal.ALL: 30}, 4)
    assert second[: len(first)] == first


def test_rows_that_are_used_up_are_said_with_what_was_reached() -> None:
    with pytest.raises(BadInput, match=r"used up with 12 rows passing of 18 candidates.*passing: rows 12 of 50"):
        World().reach(Until(passing=50), {goal.ALL: 50}, 4, count=20)
    with pytest.raises(BadInput, match=r"passing: Rust 0 of 1; raise coreset\.k"):
        World().reach(Until(passing=2, per="language"), {"Go": 1, "Rust": 1}, 4, count=20)


def test_a_rare_group_does_not_make_the_whole_coreset_ready() -> None:
    seen = []

    def watched() -> Iterator[Any]:
        for row in rows(100_000):
            seen.append(row)
            yield row

    target = Goal(Until(passing=2, per="task"), {"a": 1, "c": 1}, Tally(), 2)
    list(target.walk(watched(), World().ask))
    assert len(seen) < 200


def test_shares_are_rounded_to_their_sum() -> None:
    assert goal.share_out(Until(passing=10, per="language"), {}, ["C", "Go", "PHP"]) == {"C": 4, "Go": 3, "PHP": 3}
    assert goal.share_out(Until(usd=1.0), {}, []) == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "give passing, candidates or usd, or set generate.until to null"),
        ({"passing": 0}, "greater than 0"),
        ({"usd": 3.0, "per": "task"}, "`per` shares out `passing`"),
        ({"passing": 3, "per": "source"}, "'task' or 'language'"),
    ],
)
def test_targets_that_make_no_sense_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Until.model_validate(values)
