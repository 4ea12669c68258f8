"""A stand-in endpoint: a real HTTP server with latency, faults, and a ledger of what it was asked.

It speaks the chat completions protocol, answers any JSON schema, and gives the same request the same
answer. `faults` maps the number of a request (from 0) to what goes wrong with it.
"""

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Faults = Callable[[int], str | None]


class StandIn:
    """The server's state. `asked` holds every request's identity in order, `answered` those that got an answer."""

    def __init__(self, faults: Faults, latency_s: float) -> None:
        self.faults = faults
        self.latency_s = latency_s
        self.lock = threading.Lock()
        self.asked: list[str] = []
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.in_flight = 0
        self.most_in_flight = 0
        self.times: list[float] = []
        self.url = ""
        self.reply: Callable[[dict[str, Any]], str] = answer_schema


def answer_schema(body: dict[str, Any]) -> str:
    """A value for the request's schema, drawn from the request."""
    schema = body["response_format"]["json_schema"]["schema"]
    return json.dumps(_value(schema, hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()))


def _value(schema: dict[str, Any], seed: str) -> Any:
    if schema["type"] == "object":
        return {key: _value(value, seed + key) for key, value in schema["properties"].items()}
    if schema["type"] == "array":
        return [_value(schema["items"], f"{seed}{number}") for number in range(3)]
    drawn = hashlib.sha256(seed.encode()).hexdigest()
    if "enum" in schema:
        return schema["enum"][int(drawn, 16) % len(schema["enum"])]
    return f"Write a Python function that returns the number {drawn[:12]} and nothing else at all."


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: StandIn

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        state = self.state
        with state.lock:
            number = len(state.asked)
            state.asked.append(name)
            state.bodies.append(body)
            state.times.append(time.monotonic())
            state.keys.add(self.headers.get("authorization", ""))
            state.in_flight += 1
            state.most_in_flight = max(state.most_in_flight, state.in_flight)
        try:
            time.sleep(state.latency_s)
            self._respond(state.faults(number), body, name)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with state.lock:
                state.in_flight -= 1

    def _respond(self, fault: str | None, body: dict[str, Any], name: str) -> None:
        state = self.state
        if fault == "429":
            self._send(429, json.dumps({"error": {"message": "slow down"}}), {"retry-after": "1"})
        elif fault == "hang":
            time.sleep(30)
        elif fault == "html":
            self._send(200, "<html>a proxy's welcome</html>", {"content-type": "text/html"})
        elif fault == "half":
            self._send(200, '{"choices": [{"mess', {})
        elif fault == "cut":
            self.close_connection = True
        elif fault == "echo key":
            self._send(400, json.dumps({"error": {"message": f"bad request with {self.headers['authorization']}"}}), {})
        elif fault and fault.isdigit():
            self._send(int(fault), json.dumps({"error": {"message": f"fault {fault}"}}), {})
        else:
            text = '{"instruction": "broken' if fault == "broken" else state.reply(body)
            with state.lock:
                state.answered[name] += 1
            self._send(200, json.dumps(_completion(body, text)), {})

    def _send(self, status: int, text: str, headers: dict[str, str]) -> None:
        data = text.encode()
        self.send_response(status)
        for key, value in {"content-type": "application/json", **headers}.items():
            self.send_header(key, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def _completion(body: dict[str, Any], text: str) -> dict[str, Any]:
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [choice],
        "usage": usage,
    }


@contextmanager
def serve(faults: Faults = lambda _: None, latency_s: float = 0.0) -> Iterator[StandIn]:
    """The endpoint on a free port until the block ends."""
    state = StandIn(faults, latency_s)
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
