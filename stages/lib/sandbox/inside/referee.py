"""The tests' side: runs the trusted tests in a process of their own and calls the candidate over the wire.

One referee serves many programs, each in a fork of its own, so that the modules that tests import are loaded
once. It never runs the candidate's code, and hands out a run's token only after `check` has returned.
"""

import ast
import builtins
import copy  # noqa: F401  (these three: what HumanEval's tests import, loaded before the fork)
import gc
import math  # noqa: F401
import os
import random  # noqa: F401
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from . import cell, control, wire

UNPARSED = ("SyntaxError:", "IndentationError:", "TabError:")


class Gone(BaseException):
    """The candidate answers no more, or not as it should; no `except Exception` in a test may swallow it."""

    def __init__(self, verdict: str, detail: str) -> None:
        super().__init__(verdict, detail)
        self.verdict, self.detail = verdict, detail


class Wire:
    """The calls to one candidate, numbered, and the first thing that went wrong with them."""

    def __init__(self, fd: int) -> None:
        self.fd, self.number = fd, 0
        self.gone: Gone | None = None
        self.raised: list[BaseException] = []
        self.opaque = ""

    def ask(self, verb: str, *rest: Any) -> Any:
        """Ask, and return the value or raise what was raised; Gone from then on once the candidate has left."""
        if self.gone is None:
            try:
                return self._ask(verb, *rest)
            except wire.Closed:
                self.gone = Gone("gone", "")
            except wire.TooLong as error:
                self.gone = Gone("output limit", f"a result of {error}")
            except wire.Malformed as error:
                self.gone = Gone("violation", f"wrote to the harness's channel ({error})")
        raise self.gone

    def _ask(self, verb: str, *rest: Any) -> Any:
        self.number += 1
        wire.send(self.fd, (verb, self.number, *rest))
        answer = wire.receive(self.fd)
        if not isinstance(answer, tuple) or len(answer) < 3 or answer[1] != self.number:
            raise wire.Malformed("an answer to no question")
        match answer:
            case ("value", _, value):
                self.opaque = value.type_name if isinstance(value, wire.Opaque) else self.opaque
                return value
            case ("raised", _, [*names], str(message)):
                raise self._error(names, message)
            case ("too long", _, str(message)):
                raise wire.TooLong(message)
        raise wire.Malformed("an answer of no kind")

    def _error(self, names: list[Any], message: str) -> BaseException:
        """The nearest builtin exception of that name, as far as the tests can tell the same."""
        if "SystemExit" in names:
            self.gone = Gone("early exit", f"SystemExit: {message}")
            return self.gone
        found = (vars(builtins).get(name) for name in names if isinstance(name, str))
        kind = next((k for k in found if isinstance(k, type) and issubclass(k, Exception)), RuntimeError)
        try:
            error = kind(message)
        except TypeError:  # UnicodeDecodeError wants five arguments
            error = RuntimeError(message)
        self.raised.append(error)
        name = str(names[0]) if names else "?"
        error.told = f"{name}: {message}"  # type: ignore[attr-defined]
        return error

    def function(self, name: str) -> Callable[..., Any]:
        """A function here that is called there.

        `brief(least, *arguments)` returns what `digest.brief` makes of the result there, for results too large to send.
        """

        def call(*arguments: Any, **named: Any) -> Any:
            return self.ask("call", name, list(arguments), named)

        call.__name__ = call.__qualname__ = name
        call.brief = lambda least, *arguments: self.ask("brief", name, list(arguments), least)  # type: ignore[attr-defined]
        return call


def main(cpu_s: int, memory_mb: int, processes: int, file_mb: int, *packages: str) -> None:
    """Serve programs until the supervisor closes standard input, a socket that passes each run's wire."""
    sys.path.extend(packages)
    supervisor = socket.socket(fileno=os.dup(0))
    gc.collect()
    gc.freeze()  # as the candidates' server does
    supervisor.send(b"r")
    while True:
        _, fds, _, _ = socket.recv_fds(supervisor, 1, 1)
        if not fds:
            return
        job = wire.receive(supervisor.fileno())
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            supervisor.close()
            cell.limit(cpu_s, memory_mb, processes, file_mb)
            _report(writer, fds[0], *job)
        os.close(writer)
        os.close(fds[0])
        verdict = ("timed out", "the tests did not end within the CPU limit", "")
        with suppress(wire.Closed, wire.Malformed, wire.TooLong):
            verdict = wire.receive(reader)
            if verdict[0] == "control":
                wire.send(supervisor.fileno(), verdict)
                verdict = ("passed", *verdict[1:])  # unless the control run says otherwise
                verdict = wire.receive(reader)
        os.close(reader)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        wire.send(supervisor.fileno(), verdict)


def _report(writer: int, channel: int, *job: Any) -> None:
    """Write what there is to say and end this fork, whatever the tests did."""
    try:
        for said in judge(channel, *job):
            wire.send(writer, said)
    finally:
        os._exit(0)


def judge(
    channel: int, token: str, program: str, helpers: str, tests: str, entry_point: str, controlled: bool
) -> Iterator[tuple[str, str, str]]:
    """Run the tests, and if they pass one that must fail: (verdict, detail, token), the token empty unless the tests
    all passed; `control` for a verdict when that one begins. A `check` that returns a text reports it as the detail."""
    calls = Wire(channel)
    try:
        calls.ask("load", program, entry_point)
        space: dict[str, Any] = {"__name__": "tests", "__builtins__": builtins}
        exec(compile(helpers, "helpers.py", "exec"), space)
        code = compile(tests, "tests.py", "exec")
        for name in _names(code) - space.keys() - vars(builtins).keys():
            space[name] = calls.function(name)
        candidate = space[entry_point] = calls.function(entry_point)
        exec(code, space)  # may define the entry point's name for itself: HumanEval/152 is called compare
        said = space["check"](candidate)
    except BaseException as error:
        verdict, detail = _verdict(calls, error, tests)
        parsed = not (calls.number == 1 and detail.startswith(UNPARSED) and error in calls.raised)
        yield (verdict if parsed else "compile error"), detail, ""
        return
    if calls.gone is not None:
        yield calls.gone.verdict, calls.gone.detail, ""
        return
    detail = said if isinstance(said, str) else ""
    if controlled:
        yield "control", detail, token
        if forged := _forged(tests, space, candidate):
            yield "forged", f"what contradicts it holds too: {forged}", ""
            return
    yield "passed", detail, token


def _forged(tests: str, space: dict[str, Any], candidate: Any) -> str:
    """An assertion that the candidate passes as it is and made to fail, `control.ROUNDS` times, else ""."""
    chosen = ""
    for _ in range(control.ROUNDS):
        pair = control.write(tests)
        if pair is None:
            return ""
        for tree in pair:
            reached: list[bool] = []
            own = {**space, control.REACHED: reached.append}
            try:
                exec(compile(tree, "control.py", "exec"), own)
                own["check"](candidate)
            except BaseException:
                return ""
            if not reached:
                return ""
        chosen = next(ast.unparse(node)[:200] for node in ast.walk(pair[0]) if isinstance(node, ast.Assert))
    return chosen


def _names(code: Any) -> set[str]:
    """Every name that a program mentions, Python's own (__annotations__) aside; those that are not global do no harm
    as functions never called."""
    inner = (_names(constant) for constant in code.co_consts if hasattr(constant, "co_names"))
    return {name for name in code.co_names if not name.startswith("__")}.union(*inner)


def _verdict(calls: Wire, error: BaseException, tests: str) -> tuple[str, str]:
    if calls.gone is not None:
        return calls.gone.verdict, calls.gone.detail
    told = getattr(error, "told", f"{type(error).__name__}: {error}")
    if isinstance(error, MemoryError):
        return "out of memory", told
    if isinstance(error, AssertionError) and error not in calls.raised:
        note = f" (a value of type {calls.opaque} cannot cross)" if calls.opaque else ""
        return "wrong answer", _line(error, tests) + note
    return "exception", told


def _line(error: BaseException, tests: str) -> str:
    """The test that failed, as it stands in the tests."""
    numbers = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "tests.py"]
    lines = tests.splitlines()
    if not numbers or numbers[-1] is None or numbers[-1] > len(lines):
        return str(error)[:200]
    return lines[numbers[-1] - 1].strip()[:200]
