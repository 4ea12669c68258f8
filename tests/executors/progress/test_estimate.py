"""The time left, on recorded runs: who waits must be able to plan by it."""

import heapq
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from executors.progress.estimate import Countdown, seconds_left
from executors.progress.report import Watch
from stages.lib import progress

# recorded.json: prompt and completion tokens of each request of a finished default run (the embedded models, 2 cores),
# and of a longer one with the same teacher, from their journals.
RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text())
# Tokens a second of one server, prompt and completion: what those runs took by their logs.
SPEEDS = {"generate": (200, 15), "judge": (110, 15)}
TICK_S = 0.5


@dataclass(frozen=True)
class Moment:
    """One look at a run: the part that is done, the time left as shown, and as it turned out."""

    at: float
    share: float
    shown: float | None
    true: float


def seconds_of(name: str) -> list[float]:
    prompt, completion = SPEEDS.get(name.partition("@")[0], SPEEDS["generate"])
    return [asked / prompt + written / completion for asked, written in RECORDED[name]]


def play(seconds: Sequence[float], at_once: int) -> list[Moment]:
    """A run whose items take `seconds`, `at_once` in flight, looked at every half second."""
    free, items = [0.0] * at_once, []
    for needed in seconds:
        began = heapq.heappop(free)
        items.append((began, began + needed))
        heapq.heappush(free, began + needed)
    over, countdown, moments, now = max(free), Countdown(), [], 0.0
    while now < over:
        took = [end - begin for begin, end in items if end <= now]
        ages = [now - begin for begin, end in items if begin <= now < end]
        estimate = seconds_left(took, ages, len(items) - len(took) - len(ages), at_once)
        share = len(took) / len(items)
        moments.append(Moment(now, share, countdown.update(now, estimate, share), over - now))
        now += TICK_S
    return moments


def settled(moments: Sequence[Moment]) -> list[Moment]:
    return [one for one in moments if one.share >= 0.2]


def right(moments: Sequence[Moment]) -> float:
    """How much of the time after the first fifth the estimate is right within 30%, or within five seconds."""
    after = settled(moments)
    good = [one.shown is not None and abs(one.shown - one.true) <= max(0.3 * one.true, 5) for one in after]
    return sum(good) / len(good)


def longest_rise(moments: Sequence[Moment]) -> float:
    """Seconds for which the estimate rises without a fall, after the first fifth."""
    longest, began = 0.0, None
    after = settled(moments)
    for before, now in pairwise(after):
        assert before.shown is not None and now.shown is not None
        if now.shown < before.shown - 1e-9:
            began = None
        elif now.shown > before.shown + 1e-9:
            began = before.at if began is None else began
            longest = max(longest, now.at - began)
    return longest


@pytest.mark.parametrize("name", ["generate@1", "judge@1", "judge@2"])
def test_a_recorded_run_is_foreseen_from_its_first_fifth_on(name: str) -> None:
    assert right(play(seconds_of(name), 2)) == 1


@pytest.mark.parametrize(
    ("name", "least"), [("generate@1", 0.95), ("generate@2", 0.9), ("judge@1", 1), ("evening", 0.9)]
)
@pytest.mark.parametrize("at_once", [2, 8])
def test_longer_runs_of_such_requests_are_foreseen(name: str, least: float, at_once: int) -> None:
    """200 rows with the recorded times, in any order: right within 30% nearly always."""
    seconds = seconds_of(name)
    runs = [play(random.Random(seed).choices(seconds, k=200), at_once) for seed in range(20)]
    shares = [right(run) for run in runs]
    assert sum(shares) / len(shares) >= least, shares
    assert max(longest_rise(run) for run in runs) <= 20


@pytest.mark.parametrize("name", list(RECORDED))
def test_it_never_rises_for_longer_than_twenty_seconds(name: str) -> None:
    seconds = seconds_of(name)
    for seed in range(50):
        assert longest_rise(play(random.Random(seed).sample(seconds, len(seconds)), 2)) <= 20


def test_a_machine_that_gets_slower_is_noticed() -> None:
    seconds = random.Random(0).choices(seconds_of("evening"), k=200)
    slower = [3 * one if number > 60 else one for number, one in enumerate(seconds)]
    moments = play(slower, 2)
    assert longest_rise(moments) <= 20
    late = [one for one in moments if one.share >= 0.8]
    assert right(late) >= 0.8


def test_nothing_is_promised_before_anything_is_known() -> None:
    assert seconds_left([], [3.0], 9, 1) is None
    assert seconds_left([1.0, 1.0], [1.0], 9, 1) is None
    assert seconds_left([2.0] * 10, [], 10, 1) == pytest.approx(20)
    assert seconds_left([2.0] * 10, [0.5], 0, 1) == pytest.approx(1.5)


def test_short_answers_that_come_first_do_not_make_it_too_small() -> None:
    """Two of ten servers' long answers are still out when the short ones are back."""
    naive = 10 * 1.0
    told = seconds_left([1.0] * 8, [8.0, 8.0], 10, 1)
    assert told is not None and told > 2 * naive


def test_pieces_of_known_weight_are_foreseen_by_their_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """As embed's batches, longest first: the number of those done would promise far too much."""
    clock = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    weights = [100 - number for number in range(100)]
    with progress.work("encoding", 100, "functions", sum(weights)) as work:
        watch = Watch("embed")
        for number, weight in enumerate(weights):
            clock[0] += weight * (3 if number == 0 else 1)  # the first warms caches
            work.add(1, weight)
            state, true = watch.look(work, clock[0]), sum(weights[number + 1 :])
            if 20 <= number < 99:
                assert state.left == pytest.approx(true, rel=0.3, abs=5)


def test_what_was_done_before_is_no_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed run goes on: its first half is saved, and says nothing of the speed."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.work("training", 100, "steps") as work:
        work.skip(50)
        watch = Watch("train")
        for _ in range(25):
            clock[0] += 2
            work.add()
            state = watch.look(work, clock[0])
        assert state.left == pytest.approx(50, rel=0.1)
        assert (state.done, state.free, round(state.rate, 1)) == (75, "50 saved before", 0.5)
