"""The client: asks in, answers out, in order, with everything that can happen to a row in between."""

import asyncio
import gc
import logging
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from stages.lib import progress
from stages.lib.errors import BadInput
from stages.lib.models import location
from stages.lib.teacher import embedded, parsing, preflight, sharing
from stages.lib.teacher.asks import Ask, Choice, Requests, Text
from stages.lib.teacher.batches import Batches
from stages.lib.teacher.budget import Budget
from stages.lib.teacher.endpoint import Endpoint
from stages.lib.teacher.exchange import Exchange, Reply, Request
from stages.lib.teacher.faults import Failed, Refused
from stages.lib.teacher.journal import FOLDER, Claimed, Journal
from stages.lib.teacher.ledger import Answer, Ledger
from stages.lib.teacher.pacing import Pace, Turns
from stages.lib.teacher.settings import EMBEDDED, More, Settings
from stages.lib.teacher.window import Window

STARTED = 4  # asks begun but not answered, per request in flight: some are pausing, some replayed
# The first retry is quick because most faults pass at once; then pauses grow fast because the others do not. Eight
# attempts take about 48 s.
BACKOFF_S, BACKOFF_GROWTH, BACKOFF_MOST_S = 0.1, 4, 60.0
COLLECT = 20_000, 20, 50  # thresholds of the garbage collector (`gc.set_threshold`)
CLAIM_POLL_S = 0.1
DRAIN_S = 20.0
ABSENT_S = 5.0  # how long to avoid an unreachable endpoint when there are others
CHARACTERS_PER_TOKEN = 4  # a first estimate; the pace learns the real ratio

STAGES = ("generate", "judge", "evolve")  # whose sections have a `teacher`

LIMITS_ADVICE = (
    "; it would fit without the limits on length and pattern, which this endpoint ignores: set "
    "teacher.schema_limits: false"
)

log = logging.getLogger(__name__)


ANSWERS = "TIDEMILL_ANSWERS"  # journal: take every answer from there


@contextmanager
def connect(settings: Settings, *, label: str, seed: int, journal: Path = FOLDER) -> Iterator["Teacher"]:
    """The model of `settings`, ready to be asked; budget and progress are kept under `label` (the stage).

    Raises `BadInput` for a model without a price, a missing key, or a model that is not found.
    """
    book = Journal(journal)
    try:
        sharing.take_in(book)
        teacher = Teacher(settings, label, seed, book)
        with asyncio.Runner() as runner:
            teacher.runner = runner
            try:
                yield teacher
            finally:
                runner.run(teacher.close())
    finally:
        book.close()


class Teacher:
    """One model behind one endpoint, with its journal and its budget. Made by `connect`."""

    runner: asyncio.Runner

    def __init__(self, settings: Settings, label: str, seed: int, journal: Journal) -> None:
        self._settings = settings
        self._label = label
        self._requests = Requests(settings, seed)
        self._journal = journal
        self._concurrency = settings.batch_rows or (
            settings.concurrency + sum(more.concurrency for more in settings.more_endpoints)
        )
        self._most_begun = STARTED * self._concurrency
        self._same: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # for equal requests in a window
        self._sending: set[asyncio.Task[Any] | None] = set()
        self._stopping = False
        self._first = asyncio.Lock()  # held by the first request to the endpoint
        self._met = settings.base_url == EMBEDDED or settings.batch_rows > 0  # whether that has ended
        self._warned_of_limits = False
        self._fatal: BadInput | None = None  # what stops the run; raised for everything not sent yet
        self._last_sign = 0.0  # the endpoint's last sign of life, monotonic time
        self._silent_since: float | None = None
        self._work = progress.Work("")
        self._counts: Counter[str] = Counter()  # requests that were replayed from the journal, and sent
        self._faults: Counter[str] = Counter()
        self.budget = Budget(settings, journal, label)

    def ledger(self, folder: Path) -> Ledger:
        """A ledger of this teacher's answers in `folder`."""
        return Ledger(folder, self.budget)

    def answers(self, asks: Iterable[Ask | Text | Choice], total: int) -> Iterator[Answer]:
        """An answer for each ask, in order; one call at a time. Raises `BadInput` if the endpoint is unreachable or
        refuses the key, or the budget is reached, and `Preempted` on SIGTERM, after journaling what was in flight."""
        asks, window = iter(asks), Window(self._most_begun, self._answer)
        self._counts, self._faults = Counter(), Counter()
        self._silent_since, self._stopping = None, False
        with progress.work(f"asking {self._settings.model}", total, "rows") as self._work:
            self._work.at_once, self._work.freely = self._concurrency, "replayed"
            try:
                with _rare_collections():
                    while ready := self.runner.run(window.advance(asks)):
                        yield from ready
            finally:
                self._stopping = True  # start nothing new, but wait for what is in flight and paid
                self.runner.run(window.drain(self._sending, DRAIN_S))
                self._say_replays()

    def cost(self, answer: Answer) -> float:
        """What `answer` cost with its re-asks, US dollars."""
        return sum(self.budget.cost(one.reply.prompt_tokens, one.reply.completion_tokens) for one in answer.exchanges)

    async def close(self) -> None:
        """Close the connections, if any were opened, and give up what is reserved."""
        self.budget.close()
        if "_turns" in self.__dict__:
            for endpoint in self._turns.endpoints:
                await endpoint.close()

    def _say_replays(self) -> None:
        """Say how many answers came from the journal, so that nobody takes old ones for new ones."""
        if self._counts["replayed"]:
            log.info(
                "%s: %d answers replayed from the journal, %d new (make journal FORGET=%s has them asked again)",
                *(self._label, self._counts["replayed"], self._counts["sent"], self._settings.model),
            )

    async def _answer(self, ask: Ask | Text | Choice) -> Answer:
        answer = await self._found(ask)
        self._work.end(asyncio.current_task())
        return answer

    async def _found(self, ask: Ask | Text | Choice) -> Answer:
        if isinstance(ask, Ask):
            return await self._converse(ask)
        if isinstance(ask, Choice):
            return await self._once(ask.id, self._requests.of_choice(ask), lambda text: parsing.shares(text, ask.among))
        return await self._once(ask.id, self._requests.of_text(ask), lambda text: ({"text": text}, ""))

    async def _once(
        self, row: str, request: Request, read: Callable[[str], tuple[dict[str, Any] | None, str]]
    ) -> Answer:
        """Ask once; `read` turns the reply's text into the value, or says what is wrong with it."""
        attempts: list[dict[str, str]] = []
        try:
            exchange = await self._exchange(request, attempts)
        except Refused as refusal:
            attempts.append({"request": request.key, "fault": str(refusal)})
            return Answer(row, None, "", str(refusal), (), tuple(attempts))
        value, fault = read(exchange.reply.text)
        if fault:
            attempts.append({"request": request.key, "fault": fault, "response": exchange.reply.text})
        return Answer(row, value, request.key if value else "", fault, (exchange,), tuple(attempts))

    async def _converse(self, ask: Ask) -> Answer:
        """Ask, and re-ask with the fault named, up to `max_reasks` times."""
        messages, schema = ask.messages, self._requests.checked(ask.schema)
        exchanges: list[Exchange] = []
        attempts: list[dict[str, str]] = []
        value, of_request, ignores_limits = None, "", False
        for number in range(1 + self._settings.max_reasks):
            request = self._requests.of_ask(ask, messages, number)
            try:
                exchange = await self._exchange(request, attempts)
            except Refused as refusal:
                attempts.append({"request": request.key, "fault": str(refusal)})
                break
            exchanges.append(exchange)
            found, fault = parsing.parse(exchange.reply, schema)
            if found is not None:
                value, of_request, fault = found, request.key, ask.objection(found)
            if not fault:
                break
            attempts.append({"request": request.key, "fault": fault, "response": exchange.reply.text})
            ignores_limits = self._ignores_limits(exchange.reply, schema, found)
            messages = _again(ask.messages, exchange.reply, fault)
        died_of = attempts[-1]["fault"] + (LIMITS_ADVICE if ignores_limits else "") if value is None else ""
        return Answer(ask.id, value, of_request, died_of, tuple(exchanges), tuple(attempts))

    def _ignores_limits(self, reply: Reply, schema: dict[str, Any], found: Any) -> bool:
        """Whether an unusable answer would fit without the schema's limits, which the endpoint was told; said once."""
        knobs = self._settings
        if found is not None or knobs.structured != "json_schema" or knobs.base_url == EMBEDDED:
            return False
        ignores = knobs.schema_limits and parsing.parse(reply, dict(parsing.without_limits(schema)))[0] is not None
        if ignores and not self._warned_of_limits:
            self._warned_of_limits = True
            log.warning("%s: an answer does not keep to its schema%s", self._label, LIMITS_ADVICE)
        return ignores

    def request(self, ask: Ask) -> Request:
        """The first request for `ask`."""
        return self._requests.of_ask(ask)

    async def _exchange(self, request: Request, attempts: list[dict[str, str]]) -> Exchange:
        """The journal's exchange for `request`, or a new, journaled one: sent up to `max_attempts` times as long as
        retrying may help."""
        async with self._same.setdefault(request.key, asyncio.Lock()):
            number = 0
            while number < self._settings.max_attempts:
                if (reply := self._journal.get(request)) is not None:
                    self._counts["replayed"] += 1
                    return Exchange.of(request, reply)
                try:
                    return await self._take_turn(request, again=number > 0)
                except Claimed:
                    await asyncio.sleep(CLAIM_POLL_S)
                    continue
                except BadInput as error:
                    self._fatal = error
                    raise
                except Failed as failure:
                    fault, wait = str(failure), max(failure.retry_after, _backoff(number))
                    self._faults[fault[:40]] += 1
                    self._work.note(errors=", ".join(f"{n} × {kind}" for kind, n in self._faults.most_common(3)))
                    attempts.append({"request": request.key, "fault": fault})
                    self._give_up_on_silence(failure)
                await asyncio.sleep(wait)
                number += 1
        raise Refused(f"no answer after {number} attempts; the last: {fault}")

    async def _take_turn(self, request: Request, again: bool) -> Exchange:
        """Wait for an endpoint's turn, then send, unless another process is asking or has asked the same."""
        if self._fatal:  # such as weights that cannot be fetched, which takes a while to find out
            raise self._fatal
        most_tokens = len(request.text) / CHARACTERS_PER_TOKEN + self._settings.most_tokens
        endpoint = await self._turns.take(most_tokens, first=again)  # retries go first: later rows wait for them
        sent, took = False, None
        try:
            with self._journal.claim(request):
                if (reply := self._journal.get(request)) is not None:
                    return Exchange.of(request, reply)
                async with self._one_first():
                    if self._fatal:
                        raise self._fatal
                    if self._stopping:
                        raise asyncio.CancelledError
                    sent = True
                    reply = await self._send(endpoint, request)
                took = reply.prompt_tokens + reply.completion_tokens
                return Exchange.of(request, reply)
        finally:
            if sent:
                self._turns.give_back(endpoint, most_tokens, took)
            else:
                self._turns.undo(endpoint, most_tokens)

    @asynccontextmanager
    async def _one_first(self) -> AsyncIterator[None]:
        """Let one request through alone, after a word with its endpoint, so that what is wrong with every row is said
        after one."""
        if not self._met:
            async with self._first:
                if not self._met:
                    try:
                        await preflight.meet(
                            [one for one in self._turns.endpoints if isinstance(one, Endpoint)], self._settings
                        )
                        yield
                    finally:
                        self._met = True
                    return
        yield

    async def _send(self, endpoint: Endpoint | Batches, request: Request) -> Reply:
        """Send once, journal the reply and pay for it. A run that stops waits for this to end."""
        reserved, lost = await self.budget.reserve(request), True
        task = asyncio.current_task()
        self._sending.add(task)
        self._work.begin(task)
        began = time.monotonic()
        try:
            reply = await endpoint.send(request)
            self._last_sign, self._silent_since = time.monotonic(), None
            self._counts["sent"] += 1
            endpoint.pace.answered()
            cost = self.budget.cost(reply.prompt_tokens, reply.completion_tokens)
            await self._journal.put(request, reply, self._label, cost)
            lost = False
            if cost:
                self._work.note(spent=f"{self.budget.spent:.4f} US dollars")
        except Failed as failure:
            lost = failure.sent
            self._note(failure, endpoint, began)
            raise
        except (Refused, BadInput, Claimed):
            lost = False
            raise
        finally:
            self.budget.settle(reserved, lost)
            self._sending.discard(task)
        return reply

    def _note(self, failure: Failed, endpoint: Endpoint | Batches, began: float) -> None:
        """Draw the conclusions of a failed attempt for its endpoint and for all of them."""
        now = time.monotonic()
        if failure.limited:
            endpoint.pace.refused(failure.retry_after)
        if failure.alive:
            self._last_sign, self._silent_since = now, None
            return
        if not failure.sent and len(self._turns.endpoints) > 1:
            endpoint.pace.hold(ABSENT_S)  # the others go on
        self._silent_since = max(self._silent_since or began, self._last_sign)

    def _give_up_on_silence(self, failure: Failed) -> None:
        """Raise `BadInput` once no endpoint has given a sign of life for `patience_s`."""
        if self._silent_since is None:
            return
        silent = time.monotonic() - self._silent_since
        if silent >= self._settings.patience_s:
            urls = " and ".join(endpoint.url for endpoint in self._turns.endpoints)
            if failure.slow:
                knobs = self._settings
                raise BadInput(
                    f"{urls} gave no answer within teacher.timeout_s = {knobs.timeout_s:g} s; if it is slow, raise "
                    f"timeout_s, or lower concurrency ({knobs.concurrency}) or max_tokens ({knobs.max_tokens})"
                ) from None
            raise BadInput(
                f"{urls} has not answered for {silent:.0f} s (teacher.patience_s = "
                f"{self._settings.patience_s:g}): {failure}; check that it is running, and teacher.base_url"
            ) from None

    @cached_property
    def _turns(self) -> Turns[Endpoint | Batches]:
        """Open the connections on the first request that the journal cannot answer, so that a replay needs no
        endpoint. Raises `BadInput` where TIDEMILL_ANSWERS=journal forbids to ask."""
        if os.environ.get(ANSWERS) == "journal":
            raise BadInput(
                f"{self._label} has a request that the journal does not answer, and {ANSWERS}=journal forbids to ask "
                "a model: this code or these params are not those that the journal was made with"
            )
        knobs = self._settings
        if knobs.base_url != EMBEDDED:
            first = More(**{name: getattr(knobs, name) for name in More.model_fields})
            if knobs.batch_rows:
                return Turns([self._batches(first)])
            return Turns([self._endpoint(one) for one in (first, *knobs.more_endpoints)])
        return Turns(embedded.start(location.locate(knobs.model), knobs))

    def _batches(self, one: More) -> Batches:
        knobs = self._settings
        endpoint = Endpoint(one.base_url, knobs, Pace(knobs.batch_rows), one.api_key_env, where=self._where)
        return Batches(endpoint, self._journal, self._label, knobs.batch_rows, knobs.batch_poll_s, self._settle)

    async def _settle(self, key: str, model: str, reply: Reply, label: str) -> None:
        """Journal and pay for answers to an earlier run's requests under `label`."""
        cost = self.budget.cost(reply.prompt_tokens, reply.completion_tokens)
        await self._journal.put_reply(key, model, reply, label, cost)

    def _endpoint(self, one: More) -> Endpoint:
        pace = Pace(one.concurrency, one.requests_per_minute, one.tokens_per_minute)
        return Endpoint(one.base_url, self._settings, pace, one.api_key_env, where=self._where)

    @property
    def _where(self) -> str:
        """Where params.yaml has this teacher's own keys."""
        stage = self._label.partition("@")[0]
        if stage == "sample":
            return "sample.endpoint"
        return f"{stage}.teacher" if stage in STAGES else "teacher"


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Collect garbage less often: thousands of asks are alive, almost none in cycles, and the default's passes over
    them took a quarter of the CPU for nothing."""
    before = gc.get_threshold()
    gc.set_threshold(*COLLECT)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _again(messages: list[dict[str, str]], reply: Reply, fault: str) -> list[dict[str, str]]:
    """The question once more, with the bad answer and its fault."""
    return [
        *messages,
        {"role": "assistant", "content": reply.text},
        {"role": "user", "content": f"That answer cannot be used: {fault}. Answer again."},
    ]


def _backoff(number: int) -> float:
    """Seconds before the next attempt: exponential with full jitter, so that clients do not retry in step."""
    return random.uniform(0, min(BACKOFF_MOST_S, BACKOFF_S * BACKOFF_GROWTH**number))
