"""A stand-in endpoint: a real HTTP server with latency, faults, token buckets, batches and a ledger.

It speaks the completions, chat completions, Files and Batch protocols, answers any JSON schema, and gives the same
request the same answer. `serve()` runs it in a thread, for tests; as a program it runs alone, for benchmarks and soaks:

    python tests/support/endpoint.py --latency-ms 50 --faults 429:0.05,broken:0.05 --requests-per-minute 6000

prints its base URL, and GET /ledger tells what it was asked. `faults` maps the number of a request (from 0) to
what goes wrong with it: a status code, or a word of `_Connection._respond`.
"""

import argparse
import asyncio
import email
import email.policy
import hashlib
import json
import math
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from waiting import until

Faults = Callable[[int], str | None]
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
HANG_S = 30.0
THOUGHT, THOUGHT_TOKENS = "Let me see. It adds.", 7


def openai(field: str) -> Any:
    """OpenAI's words for a field that a model does not take."""
    message = f"Unsupported value: '{field}' does not support 0.5 with this model. Only the default (1) is supported."
    return {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": field,
            "code": "unsupported_value",
        }
    }


ERRORS = {  # as providers word them
    "context": (
        400,
        {
            "message": "This model's maximum context length is 8192 tokens. Your messages resulted in 9001 tokens.",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        },
    ),
    "schema": (
        400,
        {
            "message": "Invalid schema for response_format 'answer': 'minLength' is not permitted.",
            "type": "invalid_request_error",
            "param": "response_format",
            "code": None,
        },
    ),
    "quota": (
        429,
        {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": "insufficient_quota"},
    ),
}


class Bucket:
    """A true token bucket: `rate` a second, at most `capacity` saved up, full at first."""

    def __init__(self, rate: float, capacity: float) -> None:
        self.rate, self.capacity = rate, capacity
        self.level, self.at = capacity, time.monotonic()

    def wait(self, amount: float) -> float:
        """Seconds until `amount` is there; 0 where it is."""
        now = time.monotonic()
        self.level, self.at = min(self.capacity, self.level + (now - self.at) * self.rate), now
        return max(0.0, (amount - self.level) / self.rate)


class StandIn:
    """The server's state. `asked` holds every request's identity in order, `answered` those that got an answer
    (and so were paid for), `arrived` and `left` when, by the monotonic clock of this machine."""

    def __init__(self, faults: Faults, latency_s: float, keep_bodies: bool = True) -> None:
        self.faults = faults
        self.latency_s = latency_s
        self.keep_bodies = keep_bodies
        self.asked: list[str] = []
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.in_flight = 0
        self.most_in_flight = 0
        self.times: list[float] = []
        self.left: list[float] = []  # 0.0: not answered yet
        self.refused = 0  # by the token buckets
        self.buckets: list[tuple[Bucket, int]] = []  # and what a request takes of each
        self.url = ""
        self.probabilities = True
        self.reasons = ""  # how it tells its reasoning: field, tags, closing tag, counted, counted apart
        self.unsupported: tuple[str, ...] = ()  # fields of a request that it refuses
        self.words = openai  # how it words that
        self.reply: Callable[[dict[str, Any]], str] = answer_schema
        self.models: list[str] = []  # what GET /models lists; nothing: it has no such page
        self.model = ""  # the name that it claims, if not the request's
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.batch_s = 0.2  # from submission to the end
        self.batch_fate = "completed"  # expired: half of the rows are done; failed: none, the file is refused
        self.echo_key_at = ""  # files, batches, batch or rows: what of the Batch API tells the caller's key in an error
        self.lose_batch_answer = False  # the next batch is made, but the answer to its maker never leaves

    def limit(self, requests_per_minute: float = 0, tokens_per_minute: float = 0, capacity_s: float = 1.0) -> None:
        """Refuse with 429 what is over these; `capacity_s` seconds' worth may be saved up."""
        for rate, amount in ((requests_per_minute / 60, 1), (tokens_per_minute / 60, USAGE["total_tokens"])):
            if rate:
                self.buckets.append((Bucket(rate, rate * capacity_s), amount))

    def over_limit(self) -> float:
        """Seconds to wait, or 0 and the request is charged to the buckets."""
        wait = max((bucket.wait(amount) for bucket, amount in self.buckets), default=0.0)
        if not wait:
            for bucket, amount in self.buckets:
                bucket.level -= amount
        return wait

    def stop(self, process: subprocess.Popen[str], answers: int, how: signal.Signals = signal.SIGKILL) -> int:
        """Send `process` `how` as soon as so many different requests are answered; its exit status."""
        until(lambda: len(self.answered) >= answers, seconds=240, poll=0.005)
        process.send_signal(how)
        return process.wait(30)

    def ledger(self) -> dict[str, Any]:
        """The totals of what it was asked and gave."""
        return {
            "asked": len(self.asked),
            "asked_unique": len(set(self.asked)),
            "answered": sum(self.answered.values()),
            "answered_unique": len(self.answered),
            "refused": self.refused,
            "most_in_flight": self.most_in_flight,
            "batches": len(self.batches),
        }


def answer_schema(body: dict[str, Any]) -> str:
    """A value for the request's schema, drawn from the request; a sentence where it has none."""
    seed = identity(body)
    if "json_schema" not in body.get("response_format", {}):
        return json.dumps({"instruction": f"Write a function that returns {seed[:12]}."})
    return json.dumps(_value(body["response_format"]["json_schema"]["schema"], seed))


def is_judgement(value: dict[str, Any]) -> bool:
    """Whether a value for a request's schema is a judge's: a reason and a verdict for each rule."""
    return bool(value) and all(isinstance(one, dict) and "verdict" in one for one in value.values())


def identity(body: dict[str, Any]) -> str:
    """A request's identity: sha256 of its body."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _value(schema: dict[str, Any], seed: str) -> Any:
    if schema["type"] == "object":
        return {key: _value(value, seed + key) for key, value in schema["properties"].items()}
    if schema["type"] == "array":
        return [_value(schema["items"], f"{seed}{number}") for number in range(3)]
    drawn = hashlib.sha256(seed.encode()).hexdigest()
    if "enum" in schema:
        return schema["enum"][int(drawn, 16) % len(schema["enum"])]
    return f"Write a Python function that returns the number {drawn[:12]} and nothing else at all."


class _Connection(asyncio.Protocol):
    """One keep-alive connection; a client sends its next request after the answer to the one before."""

    def __init__(self, state: StandIn) -> None:
        self.state = state
        self.buffer = b""
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if "chunked" in headers.get("transfer-encoding", ""):
            if not rest.endswith(b"0\r\n\r\n"):
                return
            rest, length = _unchunk(rest)
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        method, path, _ = first.split(" ")
        self._route(method, path, headers, rest[:length])

    def _route(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        if path.endswith("/completions"):
            self._chat(headers, body)
        elif path.endswith("/models") and self.state.models:
            self._send(200, json.dumps({"object": "list", "data": [{"id": name} for name in self.state.models]}))
        elif path == "/ledger":
            self._send(200, json.dumps(self.state.ledger()))
        elif path == "/timeline":
            rows = zip(self.state.asked, self.state.times, self.state.left, strict=True)
            self._send(200, json.dumps(list(rows)))
        else:
            self._batch_api(method, path.partition("?")[0].removeprefix("/v1"), headers, body)

    def _chat(self, headers: dict[str, str], raw: bytes) -> None:
        state, body = self.state, orjson.loads(raw)
        number, name = len(state.asked), identity(body)
        state.asked.append(name)
        state.times.append(time.monotonic())
        state.left.append(0.0)
        state.keys.add(headers.get("authorization", ""))
        if state.keep_bodies:
            state.bodies.append(body)
        state.in_flight += 1
        state.most_in_flight = max(state.most_in_flight, state.in_flight)
        wait = state.over_limit()
        if wait:
            state.refused += 1
            error = json.dumps(
                {"error": {"message": "Rate limit reached", "type": "tokens", "code": "rate_limit_exceeded"}}
            )
            self._end(429, error, {"retry-after": f"{wait:.3f}"})
            return
        if refused := [field for field in state.unsupported if field in body]:
            self._end(400, json.dumps(state.words(refused[0])))
            return
        loop = asyncio.get_running_loop()
        loop.call_later(state.latency_s, self._respond, state.faults(number), body, name, number, headers)

    def _respond(
        self, fault: str | None, body: dict[str, Any], name: str, number: int, headers: dict[str, str]
    ) -> None:
        state = self.state
        if fault == "429":
            self._end(429, json.dumps({"error": {"message": "slow down"}}), {"retry-after": "1"})
        elif fault == "hang":
            asyncio.get_running_loop().call_later(HANG_S, self._end, 0)
        elif fault == "html":
            self._end(200, "<html>a proxy's welcome</html>", {"content-type": "text/html"})
        elif fault == "nothing":
            self._end(200, "")
        elif fault == "half":
            self._end(200, '{"choices": [{"mess')
        elif fault == "cut":
            self._end(0)
        elif fault == "cut answer":
            self._end(200, '{"choices": [', {"content-length": "500"})
            self.transport.close()
        elif fault == "echo key":
            self._end(400, json.dumps({"error": {"message": f"bad request with {headers.get('authorization')}"}}))
        elif fault in ERRORS:
            status, error = ERRORS[fault]
            self._end(status, json.dumps({"error": error}))
        elif fault and fault.isdigit():
            self._end(int(fault), json.dumps({"error": {"message": f"fault {fault}"}}))
        else:
            text = '{"instruction": "broken' if fault == "broken" else state.reply(body)
            said = completion(body, text, state.model, state.probabilities, state.reasons)
            state.answered[name] += 1
            self._end(200, WITHHELD[fault](said) if fault in WITHHELD else said)
            state.left[number] = time.monotonic()

    def _end(self, status: int, text: str | bytes = "", headers: dict[str, str] | None = None) -> None:
        self.state.in_flight -= 1
        if status:
            self._send(status, text, headers)
        else:
            self.transport.close()

    def _send(self, status: int, text: str | bytes, headers: dict[str, str] | None = None) -> None:
        data = text.encode() if isinstance(text, str) else text
        fields = {"content-type": "application/json", "content-length": str(len(data)), **(headers or {})}
        head = "".join(f"{key}: {value}\r\n" for key, value in fields.items())
        self.transport.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + data)

    def _batch_api(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        state, parts = self.state, path.strip("/").split("/")
        state.keys.add(headers.get("authorization", ""))
        if method == "POST" and parts == [state.echo_key_at]:
            self._send(400, json.dumps({"error": {"message": f"not with {headers.get('authorization')}"}}))
        elif (method, parts) == ("POST", ["files"]):
            name = f"file-{len(state.files)}"
            state.files[name] = _uploaded(headers["content-type"], body)
            self._send(200, json.dumps({"id": name, "object": "file", "bytes": 1, "purpose": "batch"}))
        elif method == "GET" and parts[0] == "files" and parts[1] in state.files:
            self._send(200, state.files[parts[1]], {"content-type": "application/octet-stream"})
        elif (method, parts) == ("POST", ["batches"]):
            batch = _make_batch(state, json.loads(body))
            if state.lose_batch_answer:
                state.lose_batch_answer = False
                self.transport.close()
            else:
                self._send(200, json.dumps(batch))
        elif (method, parts) == ("GET", ["batches"]):
            data = [_advance(state, batch) for batch in reversed(state.batches.values())]
            self._send(200, json.dumps({"object": "list", "data": data, "has_more": False}))
        elif method == "GET" and parts[0] == "batches" and parts[1] in state.batches:
            self._send(200, json.dumps(_advance(state, state.batches[parts[1]])))
        else:
            self._send(404, json.dumps({"error": {"message": f"no such thing: {method} {path}"}}))


def _unchunk(data: bytes) -> tuple[bytes, int]:
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        whole, data = whole + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return whole, len(whole)


def _uploaded(content_type: str, body: bytes) -> bytes:
    """The file in a multipart form (RFC 7578)."""
    form = email.message_from_bytes(f"content-type: {content_type}\r\n\r\n".encode() + body, policy=email.policy.HTTP)
    part = next(part for part in form.iter_parts() if part.get_filename())  # type: ignore[attr-defined]
    return bytes(part.get_payload(decode=True))


def _make_batch(state: StandIn, wish: dict[str, Any]) -> dict[str, Any]:
    batch = {
        "id": f"batch-{len(state.batches)}",
        "object": "batch",
        "endpoint": wish["endpoint"],
        "input_file_id": wish["input_file_id"],
        "completion_window": wish["completion_window"],
        "metadata": wish.get("metadata"),
        "status": "in_progress",
        "created_at": int(time.time()),
        "ends": time.monotonic() + state.batch_s,
    }
    state.batches[batch["id"]] = batch
    return batch


def _advance(state: StandIn, batch: dict[str, Any]) -> dict[str, Any]:
    """`batch`, ended if its time has come; its rows are then answered, and paid for, once."""
    if batch["status"] != "in_progress" or time.monotonic() < batch["ends"]:
        return batch
    batch["status"] = "failed" if state.echo_key_at == "batch" else state.batch_fate
    key = f"not with {max(state.keys)}"
    if batch["status"] == "failed":
        message = key if state.echo_key_at else "a line is no JSON"
        batch["errors"] = {"object": "list", "data": [{"code": "invalid_json_line", "message": message}]}
        return batch
    output, errors = [], []
    for number, line in enumerate(state.files[batch["input_file_id"]].splitlines()):
        row = json.loads(line)
        if state.batch_fate == "expired" and number % 2:
            error = {
                "code": "batch_expired",
                "message": "This request could not be executed before the window expired.",
            }
            errors.append({"id": f"r{number}", "custom_id": row["custom_id"], "response": None, "error": error})
            continue
        if state.echo_key_at == "rows":
            said = {"status_code": 400, "body": {"error": {"message": key}}}
            output.append({"custom_id": row["custom_id"], "response": said, "error": None})
            continue
        if refused := [field for field in state.unsupported if field in row["body"]]:
            said = {"status_code": 400, "body": state.words(refused[0])}
            output.append({"custom_id": row["custom_id"], "response": said, "error": None})
            continue
        name = identity(row["body"])
        state.asked.append(name)
        state.times.append(time.monotonic())
        state.left.append(time.monotonic())
        state.bodies.append(row["body"])
        state.answered[name] += 1
        said = json.loads(completion(row["body"], state.reply(row["body"]), state.model, reasons=state.reasons))
        output.append({"custom_id": row["custom_id"], "response": {"status_code": 200, "body": said}, "error": None})
    output.reverse()  # no order is promised
    for kind, rows in (("output", output), ("error", errors)):
        if rows:
            batch[f"{kind}_file_id"] = f"{kind}-of-{batch['id']}"
            state.files[f"{kind}-of-{batch['id']}"] = "\n".join(json.dumps(row) for row in rows).encode()
    return batch


def completion(
    body: dict[str, Any], text: str, model: str = "", probabilities: bool = True, reasons: str = ""
) -> bytes:
    """A chat completion that says `text`, or a completion where a prompt was given; with log-probabilities of a yes
    and a no where they are asked for, and with reasoning as `reasons` says."""
    said: dict[str, Any] = {"text": text} if "prompt" in body else {"message": {"role": "assistant", "content": text}}
    usage: dict[str, Any] = dict(USAGE)
    if reasons == "field":
        said["message"]["reasoning_content"] = THOUGHT
    elif reasons in ("tags", "closing tag"):
        said["message"]["content"] = f"{'<think>' if reasons == 'tags' else ''}\n{THOUGHT}\n</think>\n\n{text}"
    elif reasons in ("counted", "counted apart"):
        more = THOUGHT_TOKENS if reasons == "counted" else 0
        usage["completion_tokens"] += more
        usage["total_tokens"] += THOUGHT_TOKENS
        usage["completion_tokens_details"] = {"reasoning_tokens": THOUGHT_TOKENS}
    choice: dict[str, Any] = {"index": 0, **said, "finish_reason": "stop"}
    if body.get("logprobs") and probabilities:
        yes = 0.05 + 0.9 * int(identity(body)[:8], 16) / 2**32
        tokens = [{"token": word, "logprob": math.log(p)} for word, p in (("Yes", yes), ("No", 1 - yes))]
        choice["logprobs"] = {"content": [{**tokens[0], "top_logprobs": tokens}]}
    head = {
        "id": "x",
        "object": "text_completion" if "prompt" in body else "chat.completion",
        "created": 0,
        "model": model or body["model"],
    }
    return orjson.dumps({**head, "choices": [choice], "usage": usage})


def _refusal(said: bytes) -> bytes:
    """`said` as OpenAI says that the model refuses."""
    whole = orjson.loads(said)
    whole["choices"][0]["message"] |= {"content": None, "refusal": "I'm sorry, I can't assist with that."}
    return orjson.dumps(whole)


def _withheld(said: bytes) -> bytes:
    """`said` as Azure withholds it."""
    whole = orjson.loads(said)
    whole["choices"][0] |= {"finish_reason": "content_filter"}
    whole["choices"][0]["message"]["content"] = ""
    return orjson.dumps(whole)


def _all_thought(said: bytes) -> bytes:
    """`said` of a model whose reasoning took all its tokens."""
    whole = orjson.loads(said)
    whole["choices"][0] |= {"finish_reason": "length"}
    whole["choices"][0]["message"]["content"] = f"<think>{THOUGHT}"
    return orjson.dumps(whole)


WITHHELD = {"refusal": _refusal, "content filter": _withheld, "all thought": _all_thought}


@contextmanager
def serve(faults: Faults = lambda _: None, latency_s: float = 0.0) -> Iterator[StandIn]:
    """The endpoint on a free port, in a thread, until the block ends."""
    state = StandIn(faults, latency_s)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    thread = threading.Thread(target=_run, args=(state, loop, ready), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield state
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _run(state: StandIn, loop: asyncio.AbstractEventLoop, ready: threading.Event) -> None:
    asyncio.set_event_loop(loop)
    server = loop.run_until_complete(listen(state, 0))
    ready.set()
    loop.run_forever()
    server.close()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.close()


async def listen(state: StandIn, port: int) -> asyncio.Server:
    """Serve `state` on `port` of this machine, any free one for 0."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(state), "127.0.0.1", port, backlog=2048)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    return server


def random_faults(wish: str, seed: int) -> Faults:
    """Faults at random, from `KIND:SHARE,KIND:SHARE`."""
    shares = [(kind, float(share)) for kind, _, share in (part.partition(":") for part in wish.split(",") if part)]

    def fault(number: int) -> str | None:
        drawn = random.Random(f"{seed}:{number}").random()
        for kind, share in shares:
            if drawn < share:
                return kind
            drawn -= share
        return None

    return fault if shares else lambda _: None


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--faults", default="")
    parser.add_argument("--reasons", default="", help="how it tells its reasoning (StandIn.reasons)")
    parser.add_argument("--unsupported", default="", help="fields that it refuses, separated by commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--requests-per-minute", type=float, default=0.0)
    parser.add_argument("--tokens-per-minute", type=float, default=0.0)
    knobs = parser.parse_args()
    state = StandIn(random_faults(knobs.faults, knobs.seed), knobs.latency_ms / 1000, keep_bodies=False)
    state.limit(knobs.requests_per_minute, knobs.tokens_per_minute)
    state.reasons, state.unsupported = knobs.reasons, tuple(filter(None, knobs.unsupported.split(",")))
    server = await listen(state, knobs.port)
    print(state.url, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
