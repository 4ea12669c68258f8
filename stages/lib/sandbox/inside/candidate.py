"""The candidates' side: a server that has Python loaded, and each candidate in a cell of its own, forked from it.

A candidate sets its own limits for good, runs the program, then answers calls until it is killed. Nothing in its
process is trusted once the program has begun: the program owns it. It can do no more with the wire than a function
can do by its result: send plain values. The server holds nothing of a program, and no candidate can reach it.
"""

import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import cell, digest, server, wire

# What the programs of benchmarks import most, loaded once; numpy is loaded by those that want it.
COMMON = (
    "bisect collections copy ctypes datetime functools hashlib heapq itertools json math operator random re statistics "
    "string typing"
)


def main(cpu_s: int, memory_mb: int, processes: int, file_mb: int, *packages: str) -> None:
    """Serve candidates; for each the supervisor passes the wire and a file to print to."""
    sys.path[:] = [folder for folder in sys.path if folder and folder != "/harness"] + list(packages)
    for name in COMMON.split():
        __import__(name)

    def begin(channel: int, output: int) -> None:
        for standard in (1, 2):
            os.dup2(output, standard)
        os.close(output)
        cell.forbid()
        cell.limit(cpu_s, memory_mb, processes, file_mb)
        sys.modules.pop("__main__")
        _serve(channel)

    server.serve(begin, file_mb)


def _serve(channel: int) -> None:
    module = ModuleType("candidate")
    sys.modules["candidate"] = sys.modules["__main__"] = module
    while True:
        verb, number, *rest = wire.receive(channel)
        try:
            answer = ("value", number, _ACTS[verb](module, *rest))
        except BaseException as error:
            answer = _raised(number, error)
        _answer(channel, number, answer)


def _load(module: ModuleType, text: str, entry_point: str) -> None:
    exec(compile(text, "candidate.py", "exec"), module.__dict__)
    if entry_point not in module.__dict__:
        raise NameError(f"name {entry_point!r} is not defined")


def _call(module: ModuleType, name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    return module.__dict__[name](*arguments, **named)


def _brief(module: ModuleType, name: str, arguments: list[Any], least: int) -> Any:
    return digest.brief(_call(module, name, arguments, {}), least)


_ACTS: dict[str, Callable[..., Any]] = {"load": _load, "call": _call, "brief": _brief}


def _raised(number: int, error: BaseException) -> tuple[Any, ...]:
    try:
        message = str(error)[:2000]
    except BaseException:
        message = ""
    names = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, BaseException)]
    return ("raised", number, names, message)


def _answer(channel: int, number: int, answer: tuple[Any, ...]) -> None:
    try:
        wire.send(channel, answer)
    except wire.TooLong as error:
        wire.send(channel, ("too long", number, str(error)))
    except wire.Closed:
        raise
    except BaseException as error:
        wire.send(channel, _raised(number, error))
