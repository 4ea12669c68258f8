"""How the teacher keeps its pace: a pausing row holds up nobody, memory is bounded, a token bucket is used up.

Nothing here depends on how fast the machine is: what must not wait is held by events, and time is virtual.
"""

import asyncio
import random
import selectors
from collections.abc import Iterator
from types import SimpleNamespace

import endpoint
import pytest

from stages.lib.teacher import client, window
from stages.lib.teacher.exchange import Exchange, Reply
from stages.lib.teacher.ledger import Answer
from stages.lib.teacher.pacing import Pace, Turns
from stages.lib.teacher.window import Window

LATENCY_S = 0.05
DEADLINE_S = 120


def answer(number: int, size: int = 10) -> Answer:
    return Answer(f"row {number}", {}, "key", "", (Exchange("key", "m", "x" * size, Reply("", "stop", 1, 1)),), ())


def collect(windowed: Window[int], asks: Iterator[int]) -> list[Answer]:
    async def all_of_them() -> list[Answer]:
        found: list[Answer] = []
        while ready := await windowed.advance(asks):
            found += ready
        return found

    return asyncio.run(asyncio.wait_for(all_of_them(), DEADLINE_S))


def test_a_row_that_pauses_holds_up_nobody() -> None:
    far_enough = asyncio.Event()

    async def begin(number: int) -> Answer:
        if number == 0:
            await far_enough.wait()  # for ever, if the rows behind it wait for it
        if number == 5000:
            far_enough.set()
        return answer(number)

    found = collect(Window(32, begin), iter(range(6000)))
    assert [one.id for one in found] == [f"row {number}" for number in range(6000)]


def test_answers_that_wait_are_bounded_by_their_bytes() -> None:
    taken, size = 0, 100_000
    most = window.HELD_BYTES // size + 32 + window.TAKEN_AT_ONCE

    def asks() -> Iterator[int]:
        nonlocal taken
        for number in range(4 * most):
            taken += 1
            yield number

    async def begin(number: int) -> Answer:
        if number == 0:
            await asyncio.sleep(0.2)
            assert taken <= most, "no more are begun than may be held"
        await asyncio.sleep(0)
        return answer(number, size)

    assert len(collect(Window(32, begin), asks())) == 4 * most


def test_an_error_comes_after_what_stands_before_it() -> None:
    async def begin(number: int) -> Answer:
        if number == 3:
            raise ValueError("row 3")
        return answer(number)

    async def check() -> None:
        windowed, asks = Window(8, begin), iter(range(8))
        found = []
        with pytest.raises(ValueError, match="row 3"):
            while ready := await windowed.advance(asks):
                found += ready
        assert len(found) == 3
        await windowed.drain(set(), 1.0)

    asyncio.run(check())


def test_who_has_paused_goes_before_those_who_wait() -> None:
    async def check() -> list[str]:
        endpoint_ = SimpleNamespace(pace=Pace(1))
        turns, order = Turns([endpoint_]), []

        async def one(name: str, first: bool) -> None:
            await turns.take(1.0, first)
            order.append(name)
            turns.give_back(endpoint_, 1.0, 1.0)

        await turns.take(1.0)
        tasks = [asyncio.create_task(one(name, name == "again")) for name in ("a", "b", "again")]
        await asyncio.sleep(0)
        turns.give_back(endpoint_, 1.0, 1.0)
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(check()) == ["again", "a", "b"]


def test_eight_attempts_outlast_a_minute_and_the_first_is_quick() -> None:
    pauses = [[client._backoff(number) for _ in range(200)] for number in range(8)]
    assert max(pauses[0]) <= 0.1 and max(pauses[7]) <= 60
    assert sum(sum(drawn) / len(drawn) for drawn in pauses[:7]) > 30


class VirtualTime(asyncio.SelectorEventLoop):
    """A loop whose clock moves on at once where nothing is to do, and by a microsecond where something is."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(self._Skip(self))

    def time(self) -> float:
        return self.now

    class _Skip(selectors.SelectSelector):
        def __init__(self, loop: "VirtualTime") -> None:
            super().__init__()
            self.loop = loop

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            self.loop.now += max(timeout or 0.0, 1e-6)
            return super().select(0)


@pytest.mark.parametrize("limits", [{"requests_per_minute": 6000.0}, {"tokens_per_minute": 6000.0 * 120}])
@pytest.mark.parametrize("refusals", [0.0, 0.02])
def test_a_token_bucket_is_used_up_and_hardly_ever_refuses(
    limits: dict[str, float], refusals: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 seconds of a true token bucket (the stand-in endpoint's) in virtual time; and with other
    refusals at random, which must not slow it down."""
    loop, draw = VirtualTime(), random.Random(1)
    for module in ("endpoint", "stages.lib.teacher.pacing"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=loop.time))
    server = endpoint.StandIn(lambda _: None, 0.0)
    server.limit(**limits)
    one = SimpleNamespace(pace=Pace(64, **limits))
    turns, left, refused, sent = Turns([one]), iter(range(20_000)), 0, 0

    async def worker() -> None:
        nonlocal refused, sent
        for _ in left:
            again = False
            while True:
                await turns.take(400.0, first=again)
                sent += 1
                await asyncio.sleep(draw.uniform(0.2, 1.8) * LATENCY_S)
                wait = server.over_limit()
                refused += bool(wait)
                if not wait and draw.random() >= refusals:
                    one.pace.answered()
                    turns.give_back(one, 400.0, 120.0)
                    break
                again = True
                one.pace.refused(wait)
                turns.give_back(one, 400.0, None)
                await asyncio.sleep(max(wait, client._backoff(0)))

    async def work() -> None:
        await asyncio.gather(*(worker() for _ in range(64)))

    loop.run_until_complete(work())
    seconds = loop.time()
    loop.close()
    assert refused < 0.01 * sent
    assert sent / (100 * seconds) >= 0.95, f"{sent / (100 * seconds):.1%} of the allowance"


def seconds_of_a_run(fault: str, share: float, monkeypatch: pytest.MonkeyPatch) -> float:
    """Virtual seconds for 20,000 rows of 2 KB at an endpoint that answers 2,560 a second and fails at random."""
    loop, draw, one = VirtualTime(), random.Random(7), SimpleNamespace(pace=Pace(256))
    monkeypatch.setattr("stages.lib.teacher.pacing.time", SimpleNamespace(monotonic=loop.time))
    turns = Turns([one])

    async def begin(number: int) -> Answer:
        for attempt in range(8):
            await turns.take(1.0, first=attempt > 0)
            await asyncio.sleep(0.1)
            failed = draw.random() < share
            turns.give_back(one, 1.0, None if failed else 1.0)
            if not failed:
                one.pace.answered()
                return answer(number, 2000)
            if fault == "429":
                one.pace.refused(1.0)
            await asyncio.sleep(max(1.0 if fault == "429" else 0.0, client._backoff(attempt)))
        raise AssertionError("eight failures of one row")

    async def work() -> None:
        windowed, asks, number = Window(client.STARTED * 256, begin), iter(range(20_000)), 0
        while ready := await windowed.advance(asks):
            for one_answer in ready:
                assert one_answer.id == f"row {number}"
                number += 1
        assert number == 20_000

    loop.run_until_complete(work())
    seconds = loop.time()
    loop.close()
    return seconds


@pytest.mark.parametrize(("fault", "goal"), [("429", 0.6), ("500", 0.8)])
def test_random_faults_leave_most_of_the_speed(fault: str, goal: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """5% of the requests fail: with Retry-After: 1, or without a word."""
    monkeypatch.setattr("stages.lib.teacher.client.random", random.Random(7))
    undisturbed = seconds_of_a_run(fault, 0.0, monkeypatch)
    share = undisturbed / seconds_of_a_run(fault, 0.05, monkeypatch)
    assert share >= goal, f"{share:.2f} of the undisturbed speed"
