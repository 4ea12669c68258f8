"""The client: asks in, answers out, in order, with a bounded window in flight."""

import asyncio
import hashlib
import logging
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from stages.lib import models
from stages.lib.checkpoint import raise_if_stop_requested
from stages.lib.errors import BadInput
from stages.lib.teacher import answers, embedded
from stages.lib.teacher.budget import Budget
from stages.lib.teacher.endpoint import Endpoint, Failed, Refused
from stages.lib.teacher.exchange import Exchange, Reply, Request
from stages.lib.teacher.journal import FOLDER, Journal
from stages.lib.teacher.ledger import Answer, Ledger
from stages.lib.teacher.progress import Progress
from stages.lib.teacher.settings import EMBEDDED, Settings

WINDOW = 4  # asks that may wait for their turn in the order, per request in flight
BACKOFF_S, BACKOFF_MOST_S = 0.5, 60.0
STOP_POLL_S = 1.0
DRAIN_S = 20.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ask:
    """A question about the row `id`: chat messages and the JSON schema of the answer.

    `objection` names what is wrong with an answer that fits the schema, or "": it is asked again like
    one that does not, but the last answer that fits the schema stands.
    """

    id: str
    messages: list[dict[str, str]]
    schema: dict[str, Any]
    objection: Callable[[dict[str, Any]], str] = lambda _: ""


@contextmanager
def connect(settings: Settings, *, label: str, seed: int, journal: Path = FOLDER) -> Iterator["Teacher"]:
    """The model of `settings`, ready to be asked; `label` (the stage) is whose budget and progress it is.

    Raises `BadInput` for a model without a price, a key that is not set, a model that is not found.
    """
    book = Journal(journal)
    try:
        teacher = Teacher(settings, label, seed, book)
        with asyncio.Runner() as runner:
            teacher.runner = runner
            yield teacher
            runner.run(teacher.close())
    finally:
        book.close()


class Teacher:
    """One model behind one endpoint, with its journal and its budget. Made by `connect`."""

    runner: asyncio.Runner

    def __init__(self, settings: Settings, label: str, seed: int, journal: Journal) -> None:
        self._settings = settings
        self._label = label
        self._seed = seed
        self._journal = journal
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._same: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # equal requests of one window
        self._sending: set[asyncio.Task[Any] | None] = set()
        self._stopping = False
        self._fatal: BadInput | None = None  # what stops the run, for everyone who has not sent yet
        self._last_sign = 0.0  # of life from the endpoint, by the monotonic clock
        self._silent_since: float | None = None
        self._progress = Progress(label)
        self.budget = Budget(settings, journal.spent(label))

    def ledger(self, folder: Path) -> Ledger:
        """A ledger of this teacher's answers in `folder`."""
        return Ledger(folder, self.budget)

    def answers(self, asks: Iterable[Ask], total: int) -> Iterator[Answer]:
        """An answer for each ask, in order. Raises `BadInput` if the endpoint is not there, refuses the key,
        or the budget is reached, and `Preempted` on SIGTERM; what was in flight is journaled before."""
        stream = self._stream(iter(asks), total)
        try:
            while (answer := self.runner.run(_advance(stream))) is not None:
                yield answer
        finally:
            self.runner.run(stream.aclose())

    async def close(self) -> None:
        """Close the connections, if any were opened."""
        for endpoint in self.__dict__.get("_endpoints", []):
            await endpoint.close()

    async def _stream(self, asks: Iterator[Ask], total: int) -> AsyncGenerator[Answer, None]:
        waiting: deque[asyncio.Task[Answer]] = deque()
        reporter = asyncio.create_task(self._progress.report(total, self._settings.concurrency, self.budget))
        try:
            for ask in asks:
                waiting.append(asyncio.create_task(self._answer(ask)))
                if len(waiting) >= WINDOW * self._settings.concurrency:
                    yield await self._next(waiting)
                raise_if_stop_requested()
            while waiting:
                yield await self._next(waiting)
        finally:
            reporter.cancel()
            await self._drain(waiting)

    async def _next(self, waiting: deque[asyncio.Task[Answer]]) -> Answer:
        while not waiting[0].done():
            raise_if_stop_requested()
            await asyncio.wait([waiting[0]], timeout=STOP_POLL_S)
        self._progress.done += 1
        return waiting.popleft().result()

    async def _drain(self, waiting: Collection[asyncio.Task[Answer]]) -> None:
        """Start nothing more, and give what is in flight a while to reach the journal: it is paid for."""
        self._stopping = True
        for task in waiting:
            if task not in self._sending:
                task.cancel()
        if waiting:
            await asyncio.wait(waiting, timeout=DRAIN_S)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _answer(self, ask: Ask) -> Answer:
        messages, schema = ask.messages, self._checked(ask.schema)
        exchanges: list[Exchange] = []
        attempts: list[dict[str, str]] = []
        value, of_request = None, ""
        for number in range(1 + self._settings.max_reasks):
            request = Request(self._body(ask, messages, number))
            try:
                exchange = await self._exchange(request, attempts)
            except Refused as refusal:
                attempts.append({"request": request.key, "fault": str(refusal)})
                break
            exchanges.append(exchange)
            found, fault = answers.parse(exchange.reply, schema)
            if found is not None:
                value, of_request, fault = found, request.key, ask.objection(found)
            if not fault:
                break
            attempts.append({"request": request.key, "fault": fault, "response": exchange.reply.text})
            messages = _again(ask.messages, exchange.reply, fault)
        died_of = attempts[-1]["fault"] if value is None else ""
        return Answer(ask.id, value, of_request, died_of, tuple(exchanges), tuple(attempts))

    def _body(self, ask: Ask, messages: list[dict[str, str]], number: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._settings.model,
            "messages": messages,
            "temperature": self._settings.temperature,
            "top_p": self._settings.top_p,
            "max_completion_tokens": self._settings.max_tokens,
            "seed": seed_of(self._seed, ask.id, number),
        }
        if self._settings.structured == "json_schema":
            schema = {"name": "answer", "strict": True, "schema": self._checked(ask.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self._settings.structured == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body

    def _checked(self, schema: dict[str, Any]) -> dict[str, Any]:
        return schema if self._settings.schema_limits else dict(answers.without_limits(schema))

    async def _exchange(self, request: Request, attempts: list[dict[str, str]]) -> Exchange:
        """The journal's exchange for `request`, or a new one, journaled."""
        async with self._same.setdefault(request.key, asyncio.Lock()):
            if (reply := self._journal.get(request)) is not None:
                return Exchange(request, reply, replayed=True)
            async with self._journal.claim(request):
                if (reply := self._journal.get(request)) is not None:
                    return Exchange(request, reply, replayed=True)
                return Exchange(request, await self._ask(request, attempts), replayed=False)

    async def _ask(self, request: Request, attempts: list[dict[str, str]]) -> Reply:
        """Send, and send again where that may help, up to `max_attempts` times; journal the reply."""
        for number in range(self._settings.max_attempts):
            began = time.monotonic()
            try:
                async with self._slots:
                    began = time.monotonic()
                    return await self._send(request)
            except BadInput as error:
                self._fatal = error
                raise
            except Failed as failure:
                fault, wait = str(failure), max(failure.retry_after, _backoff(number))
                self._progress.errors[fault[:40]] += 1
                attempts.append({"request": request.key, "fault": fault})
                self._give_up_on_silence(failure, began)
            await asyncio.sleep(wait)
        raise Refused(f"no answer after {self._settings.max_attempts} attempts; the last: {fault}")

    async def _send(self, request: Request) -> Reply:
        """Send once, journal the reply and pay for it. What is here when a run stops is waited for."""
        if self._fatal:
            raise self._fatal
        if self._stopping:
            raise asyncio.CancelledError
        reserved = await self.budget.reserve(request)
        task = asyncio.current_task()
        self._sending.add(task)
        self._progress.in_flight += 1
        try:
            reply = await min(self._endpoints, key=lambda endpoint: endpoint.in_flight).send(request)
            self._last_sign, self._silent_since = time.monotonic(), None
            await self._journal.put(request, reply, self._label, self.budget.settle(reserved, reply))
        except Failed as failure:
            self.budget.settle(reserved, unknown=failure.sent)
            raise
        except (Refused, BadInput):
            self.budget.settle(reserved)
            raise
        finally:
            self._sending.discard(task)
            self._progress.in_flight -= 1
        return reply

    def _give_up_on_silence(self, failure: Failed, began: float) -> None:
        """Raise `BadInput` once the endpoint has given no sign of life for `patience_s`."""
        now = time.monotonic()
        if failure.alive:
            self._last_sign, self._silent_since = now, None
            return
        self._silent_since = max(self._silent_since or began, self._last_sign)
        silent = now - self._silent_since
        if silent >= self._settings.patience_s:
            raise BadInput(
                f"{self._endpoints[0].url} has not answered for {silent:.0f} s (teacher.patience_s = "
                f"{self._settings.patience_s:g}): {failure}; is it running, and is teacher.base_url right?"
            ) from None

    @cached_property
    def _endpoints(self) -> list[Endpoint]:
        """Opened by the first request that the journal cannot answer, so that a replay needs no endpoint."""
        if self._settings.base_url != EMBEDDED:
            return [Endpoint(self._settings.base_url, self._settings, extra={}, local=False)]
        model = models.locate(self._settings.model)
        started = [embedded.start(model, self._settings) for _ in range(self._settings.servers)]
        self._servers = [server for server, _ in started]  # they stop when nothing holds them
        return [Endpoint(url, self._settings, extra={"cache_prompt": False}, local=True) for _, url in started]


async def _advance(stream: AsyncIterator[Answer]) -> Answer | None:
    return await anext(stream, None)


def seed_of(seed: int, row: str, number: int = 0) -> int:
    """The sampling seed of a row's request, 31 bits: by the row alone, whatever is asked beside it."""
    return int(hashlib.sha256(f"{seed}:{row}:{number}".encode()).hexdigest()[:8], 16) >> 1


def _again(messages: list[dict[str, str]], reply: Reply, fault: str) -> list[dict[str, str]]:
    """The question once more, with the bad answer and its fault."""
    return [
        *messages,
        {"role": "assistant", "content": reply.text},
        {"role": "user", "content": f"That answer cannot be used: {fault}. Answer again."},
    ]


def _backoff(number: int) -> float:
    """Seconds before the next attempt: exponential with full jitter, so that clients do not return in step."""
    return random.uniform(0, min(BACKOFF_MOST_S, BACKOFF_S * 2**number))
