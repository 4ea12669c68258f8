"""How fast to ask each endpoint: requests in flight, requests and tokens per minute, and its refusals.

One refusal (HTTP 429) delays only its own row, because some providers refuse at random. If more than a fifth of recent
requests are refused, the endpoint counts as congested: we leave it alone for as long as it asks, then keep fewer
requests in flight until it recovers (additive increase, multiplicative decrease).
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

SAVED_S = 0.1  # seconds of unused allowance that may accumulate; less than any provider permits
SHARE_USED = 0.98  # of the allowance, because clocks differ
RECENT = 0.05  # weight of one request in the average of tokens used
# Weight of one request in the share of refusals. With 5% random refusals, a window of 20 requests sees five often
# enough to report congestion every second of a fast run; in a window of 100 that is ten standard deviations away.
RECENT_REFUSALS = 0.01
CONGESTED = 0.2  # above this share of refusals, an endpoint counts as congested
FEWER = 0.7  # by this factor we then cut its requests in flight
LEAST_PAUSE_S = 1.0


class Bucket:
    """An allowance of `per_minute` units (0: no limit). It may go into debt, which makes the next wait longer."""

    def __init__(self, per_minute: float) -> None:
        self.rate = SHARE_USED * per_minute / 60
        self._most = max(1.0, SAVED_S * self.rate)
        self._level = 0.0
        self._at = time.monotonic()

    def wait(self, now: float) -> float:
        """Seconds until more may be taken; 0 or less: now."""
        if not self.rate:
            return 0.0
        self._level = min(self._most, self._level + (now - self._at) * self.rate)
        self._at = now
        return -self._level / self.rate

    def take(self, units: float) -> None:
        """Use up `units`, or give them back if negative."""
        if self.rate:
            self._level -= units


class Pace:
    """One endpoint's limits and what is in flight there."""

    def __init__(self, concurrency: int, requests_per_minute: float = 0.0, tokens_per_minute: float = 0.0) -> None:
        self.in_flight = 0
        self._concurrency = concurrency
        self._limit = float(concurrency)
        self._requests = Bucket(requests_per_minute)
        self._tokens = Bucket(tokens_per_minute)
        self._share = 1.0  # tokens that requests used, as a share of their maximum
        self._refusals = 0.0  # the recent share
        self._held_until = 0.0

    @property
    def load(self) -> float:
        """Requests in flight, as a share of what may be."""
        return self.in_flight / self._limit

    def wait(self, now: float) -> float:
        """Seconds until a request may be sent; 0 or less: now; infinite: when one in flight ends."""
        if self.in_flight >= self._limit:
            return float("inf")
        return max(self._held_until - now, self._requests.wait(now), self._tokens.wait(now))

    def start(self, most_tokens: float) -> None:
        """Count a request of at most `most_tokens`, charged at the average share that such requests used so far."""
        self.in_flight += 1
        self._requests.take(1)
        self._tokens.take(most_tokens * self._share)

    def end(self, most_tokens: float, took: float | None) -> None:
        """Settle what `start` charged; `took` is None if there was no answer."""
        self.in_flight -= 1
        if took is None:
            return
        self._tokens.take(took - most_tokens * self._share)
        self._share += RECENT * (min(1.0, took / most_tokens) - self._share)

    def undo(self, most_tokens: float) -> None:
        """Undo a `start` whose request was not sent."""
        self.in_flight -= 1
        self._requests.take(-1)
        self._tokens.take(-most_tokens * self._share)

    def answered(self) -> None:
        """The endpoint took a request."""
        self._refusals *= 1 - RECENT_REFUSALS
        if self._limit < self._concurrency:
            self._limit = min(self._concurrency, self._limit + 1 / self._limit)

    def refused(self, retry_after: float) -> None:
        """The endpoint said that a request came too soon."""
        self._refusals += RECENT_REFUSALS * (1 - self._refusals)
        now = time.monotonic()
        if self._refusals > CONGESTED and now >= self._held_until:
            self._limit = max(1.0, self._limit * FEWER)
            self.hold(max(retry_after, LEAST_PAUSE_S))

    def hold(self, seconds: float) -> None:
        """Send nothing for `seconds`."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)


class Paced(Protocol):
    """Whatever has a pace."""

    pace: Pace


One = TypeVar("One", bound=Paced)


class Turns(Generic[One]):
    """Gives endpoints to callers in order of arrival, as soon as an endpoint's pace allows."""

    def __init__(self, endpoints: Sequence[One]) -> None:
        self.endpoints = endpoints
        self._waiting: deque[tuple[asyncio.Future[One], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, most_tokens: float, first: bool = False) -> One:
        """The least loaded endpoint that may be asked now; its pace has counted the request.

        Turns come in the order of the calls; `first` jumps the queue.
        """
        if not self._waiting and (found := self._find()) is not None:
            found.pace.start(most_tokens)
            return found
        turn: asyncio.Future[One] = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if first else self._waiting.append)((turn, most_tokens))
        self._set_timer()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.undo(turn.result(), most_tokens)
            raise

    def give_back(self, endpoint: One, most_tokens: float, took: float | None) -> None:
        """The request has ended and used `took` tokens, or None if it had no answer."""
        endpoint.pace.end(most_tokens, took)
        self._hand_out()

    def undo(self, endpoint: One, most_tokens: float) -> None:
        """The request was not sent after all."""
        endpoint.pace.undo(most_tokens)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting:
            turn, most_tokens = self._waiting[0]
            if not turn.done():
                found = self._find()
                if found is None:
                    break
                found.pace.start(most_tokens)
                turn.set_result(found)
            self._waiting.popleft()
        self._set_timer()

    def _find(self) -> One | None:
        if len(self.endpoints) == 1:
            only = self.endpoints[0]
            return only if only.pace.wait(time.monotonic()) <= 0 else None
        now = time.monotonic()
        free = [endpoint for endpoint in self.endpoints if endpoint.pace.wait(now) <= 0]
        return min(free, key=lambda endpoint: endpoint.pace.load, default=None)

    def _set_timer(self) -> None:
        """Wake up when the next caller's waiting time is over; the end of a request wakes us anyway."""
        if self._timer is not None or not self._waiting:
            return
        now = time.monotonic()
        wait = min(endpoint.pace.wait(now) for endpoint in self.endpoints)
        if wait != float("inf"):
            self._timer = asyncio.get_running_loop().call_later(max(0.0, wait), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._hand_out()
