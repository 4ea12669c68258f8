"""The candidate's side: sets its own limits for good, runs the program, then answers calls until it is killed.

Nothing here is trusted once the program has begun: the program owns this process. It can do no more with the
wire than a function can do by its result: send plain values.
"""

import resource
import sys
from _collections_abc import Callable
from os import close, dup, dup2, open  # not used through `os`, which a program may patch
from types import ModuleType
from typing import Any

from . import wire


def main(cpu_s: int, memory_mb: int, processes: int, file_mb: int, *packages: str) -> None:
    """Standard input is the wire; what the program finds there instead is the empty device."""
    channel = dup(0)
    empty = open("/dev/null", 0)
    dup2(empty, 0)
    close(empty)
    limit(cpu_s, memory_mb, processes, file_mb)
    sys.path[:] = [folder for folder in sys.path if folder and folder != "/harness"] + list(packages)
    _serve(channel)


def limit(cpu_s: int, memory_mb: int, processes: int, file_mb: int) -> None:
    """Lower this process's limits; no process without privileges raises them again."""
    for what, most in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, memory_mb << 20),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_FSIZE, file_mb << 20),
        (resource.RLIMIT_NOFILE, 128),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _serve(channel: int) -> None:
    module = ModuleType("candidate")
    sys.modules["candidate"] = module
    while True:
        verb, number, *rest = wire.receive(channel)
        try:
            act: Callable[..., Any] = _load if verb == "load" else _call
            answer = ("value", number, act(module, *rest))
        except BaseException as error:
            answer = _raised(number, error)
        _answer(channel, number, answer)


def _load(module: ModuleType, text: str, entry_point: str) -> None:
    exec(compile(text, "candidate.py", "exec"), module.__dict__)
    if entry_point not in module.__dict__:
        raise NameError(f"name {entry_point!r} is not defined")


def _call(module: ModuleType, name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    return module.__dict__[name](*arguments, **named)


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
