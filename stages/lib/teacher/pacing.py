"""How fast each endpoint is asked: requests in flight, requests a minute, tokens a minute, and what it says of that.

A refusal (HTTP 429) is its own row's affair: some providers refuse at random. Only when more than a fifth of the
recent requests are refused is an endpoint taken for congested: it is left alone for as long as it asks, and fewer
requests are in flight there until it answers again (additive increase, multiplicative decrease).
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

SAVED_S = 0.1  # seconds' worth of allowance that may be saved up; less than any provider allows
SHARE_USED = 0.98  # of the allowance, for clocks that differ
RECENT = 0.05  # weight of one request in what requests take
# Weight of one request in the share of refusals: of 5% at random, in 20 requests five are refused often enough to
# look like congestion every second of a fast run; in 100 the share keeps ten standard deviations away from it.
RECENT_REFUSALS = 0.01
CONGESTED = 0.2  # the share of refusals from which an endpoint is congested
FEWER = 0.7  # of the requests in flight, then
LEAST_PAUSE_S = 1.0


class Bucket:
    """An allowance of `per_minute` units, 0 for no limit; it may go into debt and then waits longer."""

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
        self._share = 1.0  # tokens that requests took, of the most that they could have taken
        self._refusals = 0.0  # the recent share
        self._held_until = 0.0

    @property
    def load(self) -> float:
        """Requests in flight, as a share of what may be."""
        return self.in_flight / self._limit

    def wait(self, now: float) -> float:
        """Seconds until a request may be sent; 0 or less: now; infinite: when one that is in flight ends."""
        if self.in_flight >= self._limit:
            return float("inf")
        return max(self._held_until - now, self._requests.wait(now), self._tokens.wait(now))

    def start(self, most_tokens: float) -> None:
        """Count a request that may take `most_tokens`; it is charged at what such requests took so far."""
        self.in_flight += 1
        self._requests.take(1)
        self._tokens.take(most_tokens * self._share)

    def end(self, most_tokens: float, took: float | None) -> None:
        """Settle what `start` charged; `took` is None where there was no answer."""
        self.in_flight -= 1
        if took is None:
            return
        self._tokens.take(took - most_tokens * self._share)
        self._share += RECENT * (min(1.0, took / most_tokens) - self._share)

    def undo(self, most_tokens: float) -> None:
        """Take back a `start` whose request was not sent."""
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
        """Send nothing for so long."""
        self._held_until = max(self._held_until, time.monotonic() + seconds)


class Paced(Protocol):
    """Whatever has a pace."""

    pace: Pace


One = TypeVar("One", bound=Paced)


class Turns(Generic[One]):
    """Hands out endpoints, to whoever waited longest, as soon as the pace of one allows."""

    def __init__(self, endpoints: Sequence[One]) -> None:
        self.endpoints = endpoints
        self._waiting: deque[tuple[asyncio.Future[One], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, most_tokens: float, first: bool = False) -> One:
        """The endpoint with the least load that may be asked now; its pace has counted the request.

        Turns come in the order of the calls; `first` goes before everyone who waits.
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
        """The request has ended and `took` so many tokens, or None if it had no answer."""
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
        """Wake up when time alone lets the next one go; the end of a request wakes us anyway."""
        if self._timer is not None or not self._waiting:
            return
        now = time.monotonic()
        wait = min(endpoint.pace.wait(now) for endpoint in self.endpoints)
        if wait != float("inf"):
            self._timer = asyncio.get_running_loop().call_later(max(0.0, wait), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._hand_out()
