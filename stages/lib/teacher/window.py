"""The window between asks and answers: answers leave in the order of their asks, and memory stays bounded.

A row may pause for seconds because its endpoint said so. The rows behind it go on, and their answers wait for it, as
many as fit into HELD_BYTES.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from stages.lib.checkpoint import raise_if_stop_requested
from stages.lib.teacher.ledger import Answer

HELD_BYTES = 24_000_000  # of answers waiting for an earlier one
EACH_BYTES = 1_000  # per answer, besides its texts
TAKEN_AT_ONCE = 64  # asks to start before running ones get their turn
STOP_POLL_S = 1.0

One = TypeVar("One")


class Window(Generic[One]):
    """Runs up to `most` asks at a time; `begin` produces an ask's answer."""

    def __init__(self, most: int, begin: Callable[[One], Coroutine[Any, Any, Answer]]) -> None:
        self._most = most
        self._begin = begin
        self._tasks: deque[asyncio.Task[Answer]] = deque()
        self._open = 0  # of the tasks: not done yet
        self._held = 0  # bytes of answers not taken yet
        self._all_taken = False
        self._moved: asyncio.Future[None] | None = None

    async def advance(self, asks: Iterator[One]) -> list[Answer]:
        """The ready answers that are next in order: at least one, or none at the very end.

        Entering the event loop once for many answers keeps each one cheap. Raises `Preempted` on SIGTERM, and whatever
        the next ask in order raised.
        """
        while True:
            await self._fill(asks)
            raise_if_stop_requested()
            if not self._tasks or self._tasks[0].done():
                return self._take_ready()
            await self._wait(self._tasks[0])

    async def drain(self, keep: set[asyncio.Task[Any] | None], seconds: float) -> None:
        """Cancel all tasks except those in `keep`, which get time to end."""
        for task in self._tasks:
            if task not in keep:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _fill(self, asks: Iterator[One]) -> None:
        taken = 0
        while self._has_room():
            ask = next(asks, None)
            if ask is None:
                self._all_taken = True
                return
            self._open += 1
            self._tasks.append(asyncio.create_task(self._follow(ask)))
            taken += 1
            if taken % TAKEN_AT_ONCE == 0:
                await asyncio.sleep(0)
                if self._tasks[0].done():
                    return

    def _has_room(self) -> bool:
        return not self._all_taken and self._open < self._most and self._held < HELD_BYTES

    def _take_ready(self) -> list[Answer]:
        ready: list[Answer] = []
        while self._tasks and self._tasks[0].done():
            if ready and self._tasks[0].exception():
                break  # raised once the answers before it were used
            answer = self._tasks.popleft().result()
            self._held -= _bytes(answer)
            ready.append(answer)
        return ready

    async def _follow(self, ask: One) -> Answer:
        try:
            answer = await self._begin(ask)
            self._held += _bytes(answer)
            return answer
        finally:
            self._open -= 1
            if self._open <= self._most - min(TAKEN_AT_ONCE, self._most // 2) and self._has_room():
                self._wake()

    async def _wait(self, head: asyncio.Task[Answer]) -> None:
        """Wait until `head` is done or many asks may start, but never longer than a signal may wait."""
        loop = asyncio.get_running_loop()
        self._moved = loop.create_future()
        head.add_done_callback(self._wake)
        timer = loop.call_later(STOP_POLL_S, self._wake)
        try:
            await self._moved
        finally:
            self._moved = None
            timer.cancel()
            head.remove_done_callback(self._wake)

    def _wake(self, _: Any = None) -> None:
        if self._moved and not self._moved.done():
            self._moved.set_result(None)


def _bytes(answer: Answer) -> int:
    texts = (len(one.body) + len(one.reply.text) + len(one.reply.reasoning) for one in answer.exchanges)
    return EACH_BYTES + sum(texts)
