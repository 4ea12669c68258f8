"""The Batch API: requests as lines of a file, answered within a day at half the price.

An intent (a random name and the requests' keys) is written to `journal/batches.jsonl` before its batch is created, and
the batch carries the name in its metadata. So after a kill at any moment, the next run lists the provider's batches,
finds its own, waits for them and journals their answers before it asks for anything else. Formats:
https://platform.openai.com/docs/api-reference/batch
"""

import asyncio
import fcntl
import json
import logging
import os
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

import orjson

from stages.lib.artifacts import canonical
from stages.lib.errors import BadInput
from stages.lib.teacher import faults
from stages.lib.teacher.endpoint import Endpoint
from stages.lib.teacher.exchange import Reply, Request
from stages.lib.teacher.faults import Failed
from stages.lib.teacher.journal import Claimed, Journal

FILE = "batches.jsonl"
METADATA = "tidemill_intent"
QUIET_S = 1.0  # send a batch after this long without a new request
WINDOW: Literal["24h"] = "24h"  # the API's only completion window
ENDED = ("completed", "expired", "cancelled", "failed")

log = logging.getLogger(__name__)

Settle = Callable[[str, str, Reply, str], Coroutine[Any, Any, None]]  # key, model, reply, label: journal and pay


class Batches:
    """Sends requests in batches of up to `rows`, polled every `poll_s` seconds, with `endpoint`'s address and key.
    `settle` journals answers to an earlier run's requests."""

    def __init__(self, endpoint: Endpoint, journal: Journal, label: str, rows: int, poll_s: float, settle: Settle):
        import openai

        self.pace = endpoint.pace
        self.url = endpoint.url
        self._endpoint = endpoint
        self._journal = journal
        self._label, self._rows, self._poll_s, self._settle = label, rows, poll_s, settle
        self._path = journal.path.parent / FILE
        self._client = openai.AsyncOpenAI(base_url=endpoint.url, api_key=endpoint.key or "none", max_retries=0)
        self._queue: dict[str, tuple[Request, asyncio.Future[Reply]]] = {}
        self._full = asyncio.Event()
        self._gatherer: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._recovery: asyncio.Task[None] | None = None
        logging.getLogger("openai").setLevel(logging.WARNING)

    async def close(self) -> None:
        """Close the connections and look after nothing any more; the provider goes on."""
        for task in [self._gatherer, self._recovery, *self._running]:
            if task is not None:
                task.cancel()
        await self._client.close()

    async def send(self, request: Request) -> Reply:
        """The reply to `request`, from its batch.

        Raises `Claimed` if an earlier run's batch has answered it meanwhile, and whatever `Endpoint.send` raises.
        """
        if self._recovery is None or (self._recovery.done() and self._recovery.exception()):
            self._recovery = asyncio.create_task(self._recover())
        await asyncio.shield(self._recovery)
        if self._journal.get(request) is not None:
            raise Claimed
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._queue[request.key] = request, reply
        if len(self._queue) >= self._rows:
            self._full.set()
        if self._gatherer is None or self._gatherer.done():
            self._gatherer = asyncio.create_task(self._gather())
        return await reply

    async def _gather(self) -> None:
        """Turn the queue into batches, each sent when it is full or the queue is quiet."""
        while self._queue:
            seen = len(self._queue)
            try:
                await asyncio.wait_for(self._full.wait(), QUIET_S)
            except TimeoutError:
                if len(self._queue) != seen:
                    continue
            self._full.clear()
            keys = list(self._queue)[: self._rows]
            task = asyncio.create_task(self._run({key: self._queue.pop(key) for key in keys}))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, rows: Mapping[str, tuple[Request, asyncio.Future[Reply]]]) -> None:
        intent = uuid.uuid4().hex
        try:
            with self._mine(intent):
                self._note({"intent": intent, "label": self._label, "keys": list(rows)})
                batch = await self._submit(intent, [request for request, _ in rows.values()])
                results = await self._finish(batch)
                for key, (_, reply) in rows.items():
                    result = results.get(key) or Failed("the batch ended without an answer to it")
                    if not reply.done():
                        reply.set_exception(result) if isinstance(result, Exception) else reply.set_result(result)
                await self._all_journaled(rows)
                self._note({"intent": intent, "done": True})
        except Exception as error:  # waiting callers must hear of any error
            for _, reply in rows.values():
                if not reply.done():
                    reply.set_exception(error)

    async def _all_journaled(self, rows: Mapping[str, tuple[Request, asyncio.Future[Reply]]]) -> None:
        """Wait until every reply is journaled; only then is the intent done."""
        for request, reply in rows.values():
            while reply.exception() is None and self._journal.get(request) is None:
                await asyncio.sleep(0.05)

    async def _submit(self, intent: str, requests: list[Request]) -> Any:
        """Create the batch of `requests` once: if the API's answer is lost, look for the batch by its name."""
        import openai

        path: Any = f"/v1/{requests[0].path}"  # a run asks for texts or for values, never both
        lines = (
            {"custom_id": one.key, "method": "POST", "url": f"/v1/{one.path}", "body": one.sent} for one in requests
        )
        data = b"\n".join(orjson.dumps(line) for line in lines)
        async with self._judged():
            file = await self._client.files.create(file=(f"{intent}.jsonl", data), purpose="batch")
        async with self._judged():
            try:
                batch = await self._client.batches.create(
                    input_file_id=file.id,
                    endpoint=path,
                    completion_window=WINDOW,
                    metadata={METADATA: intent},
                )
            except openai.APIConnectionError:
                log.warning("%s: the answer to a new batch was lost; looking for it", self._label)
                batch = await self._find(intent)
                if batch is None:
                    raise Failed("a batch could not be made", alive=False) from None
        log.info("%s: batch %s of %d requests", self._label, batch.id, len(requests))
        return batch

    async def _find(self, intent: str) -> Any:
        async for batch in self._client.batches.list(limit=100):
            if (batch.metadata or {}).get(METADATA) == intent:
                return batch
        return None

    async def _finish(self, batch: Any) -> dict[str, Reply | Exception]:
        """Each row's result by key, once `batch` has ended. Raises `BadInput` if it failed as a whole."""
        while batch.status not in ENDED:
            await asyncio.sleep(self._poll_s)
            try:
                async with self._judged():
                    batch = await self._client.batches.retrieve(batch.id)
            except Failed as failure:  # the batch continues without us
                log.warning("%s: batch %s: %s", self._label, batch.id, failure)
        if batch.status == "failed":
            said = "; ".join(str(error.message) for error in (batch.errors.data if batch.errors else None) or [])
            raise BadInput(f"{self.url} refuses batch {batch.id}: {faults.clean(said, self._endpoint.key)}")
        results: dict[str, Reply | Exception] = {}
        for file in (batch.output_file_id, batch.error_file_id):
            if file:
                async with self._judged():
                    content = (await self._client.files.content(file)).content
                for line in content.splitlines():
                    row = orjson.loads(line)
                    results[row["custom_id"]] = self._result(row)
        log.info("%s: batch %s %s: %d rows came back", self._label, batch.id, batch.status, len(results))
        return results

    def _result(self, row: dict[str, Any]) -> Reply | Exception:
        response, error = row.get("response"), row.get("error")
        if not response:
            return Failed(faults.clean(f"batch: {(error or {}).get('message', row)}", self._endpoint.key))
        try:
            return self._endpoint.read(response["status_code"], {}, orjson.dumps(response["body"]), 0)
        except Exception as fault:  # raised in the row's caller
            return fault

    async def _recover(self) -> None:
        """Wait for the unanswered batches of earlier runs and journal their answers."""
        for intent, told in self._open_intents().items():
            try:
                with self._mine(intent):
                    async with self._judged():
                        batch = await self._find(intent)
                    if batch is not None:
                        log.info("%s: taking up batch %s of an earlier run", self._label, batch.id)
                        await self._take_up(batch, told)
                    self._note({"intent": intent, "done": True})
            except Claimed:
                continue  # its process is alive and polls it

    async def _take_up(self, batch: Any, told: dict[str, Any]) -> None:
        for key, result in (await self._finish(batch)).items():
            if isinstance(result, Reply) and not self._journal.has(key):
                await self._settle(key, self._endpoint.model, result, told["label"])

    def _open_intents(self) -> dict[str, dict[str, Any]]:
        """The open intents, by name. A killed writer's unfinished line is ignored."""
        intents: dict[str, dict[str, Any]] = {}
        if not self._path.exists():
            return intents
        for line in self._path.read_bytes().splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if told.get("done"):
                intents.pop(told["intent"], None)
            else:
                intents[told["intent"]] = told
        return intents

    def _note(self, told: dict[str, Any]) -> None:
        """Append a line to the intents, synced; first a newline, since a killed writer may have left half a line."""
        with self._path.open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.write(b"\n" + canonical(told).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _mine(self, intent: str) -> Any:
        return self._journal.claim_key(intent)

    @asynccontextmanager
    async def _judged(self) -> AsyncIterator[None]:
        """Turn the SDK's errors into ours."""
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            response = error.response
            raise self._endpoint.judge(error.status_code, response.headers, response.content, 0) from None
        except openai.APIConnectionError as error:
            raise Failed(faults.clean(f"{type(error).__name__}: {error}", self._endpoint.key), alive=False) from None
